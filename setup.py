"""Packaging of DGM for TensorBoard. The base install is the viewer; ``[train]`` adds what records a training."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
BUNDLE = HERE / "dgm_tb" / "plugin" / "static" / "index.js"

TRAIN = ["torch>=2.6", "pytorch-lightning>=2.4", "safetensors>=0.4"]
DEMO = [*TRAIN, "scikit-learn>=1.4", "pillow>=10"]
BENCH = [
    "captum>=0.9",
    "h5py>=3",
    "nansense>=0.4",
    "neurolens>=0.1",
    "pyarrow>=15",
    "torchlens>=2.36",
    "torchmortem>=0.1",
    "transformers>=5",
    "wandb>=0.31",
    "zarr>=3",
]
TEST = [
    *DEMO,
    "captum>=0.9",
    "captum>=0.7",
    "lightning>=2.4",
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "mypy>=1.13",
    "playwright>=1.49",
    "pyarrow>=15",
    "pytest>=8.3",
    "pytest-benchmark>=5",
    "pytest-timeout>=2.3",
    "ruff>=0.8",
    "types-protobuf>=5",
]


class BuildWithBundle(build_py):  # type: ignore[misc]  # setuptools publishes no types
    """Refuses to make a package without the tab: a user would only see an empty page."""

    def run(self) -> None:
        if not self.editable_mode and not BUNDLE.exists():
            raise SystemExit(f"{BUNDLE} is missing. Build the frontend first: make bundle")
        super().run()


setup(
    name="dgm-tb",
    version="0.1.0",
    description="Per-neuron training dynamics of any PyTorch Lightning training, live in TensorBoard",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["dgm_tb*", "lightning_callbacks*"]),
    package_data={
        "dgm_tb": ["py.typed", "plugin/http_api.md", "plugin/static/**"],
        "lightning_callbacks": ["py.typed"],
    },
    install_requires=[
        "tensorboard>=2.21",
        "numpy>=1.26",
        "scipy>=1.11",
        "protobuf>=6.31.1",
        "werkzeug>=3",
        "google-crc32c>=1.6",
        "numba>=0.60",
        "click>=8.1",
        "rich>=13",
    ],
    extras_require={"train": TRAIN, "demo": DEMO, "bench": BENCH, "test": TEST},
    entry_points={
        "tensorboard_plugins": ["dgm = dgm_tb.plugin.entry:DgmLoader"],
        "console_scripts": ["dgm-tb = dgm_tb.cli:main"],
    },
    cmdclass={"build_py": BuildWithBundle},
)
