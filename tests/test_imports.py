"""What an import brings with it: a viewer without torch, a TensorBoard start without delay."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Top-level packages and TensorBoard's server, which only the plugin may load.
SERVER = ("werkzeug", "grpc", "tensorboard.program", "tensorboard.backend", "tensorboard.plugins")
TRAINING = ("torch", "lightning", "pytorch_lightning", "lightning_callbacks")


def loaded(statement: str) -> frozenset[str]:
    """The modules that a fresh interpreter has after ``statement``."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    return frozenset(done.stdout.split())


def unwanted(statement: str, names: tuple[str, ...]) -> list[str]:
    modules = loaded(statement)
    return [name for name in names if name in modules]


@pytest.mark.parametrize(
    "statement", ["import dgm_tb, dgm_tb.store.run", "import dgm_tb; dgm_tb.open_run", "import dgm_tb.store.writer"]
)
def test_the_store_is_light(statement: str) -> None:
    assert unwanted(statement, (*SERVER, *TRAINING)) == []


def test_the_package_itself_is_next_to_nothing() -> None:
    assert unwanted("import dgm_tb", ("numpy", "numba", "google.protobuf", "tensorboard")) == []


def test_tensorboards_start_loads_little_of_the_plugin() -> None:
    assert unwanted("import dgm_tb.plugin.entry", ("numpy", "numba", "scipy", *TRAINING)) == []


def test_the_plugin_loads_no_torch() -> None:
    assert unwanted("import dgm_tb.plugin.app, dgm_tb.queries.layer, dgm_tb.queries.runs", TRAINING) == []


@pytest.mark.parametrize("name", ["DynamicsMonitor", "Recorder"])
def test_the_callback_loads_no_tensorboard_server(name: str) -> None:
    assert unwanted(f"from lightning_callbacks import {name}", SERVER) == []


def test_a_bare_loop_needs_no_lightning() -> None:
    assert unwanted("from lightning_callbacks import Recorder", ("lightning", "pytorch_lightning")) == []


def test_without_torch_the_callback_says_what_to_install() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        loaded("sys.modules['torch'] = None; from lightning_callbacks import Recorder")
    assert "pip install 'dgm-tb[train]'" in caught.value.stderr


@pytest.mark.parametrize("name", [*SERVER, "torch"])
def test_the_probe_can_fail(name: str) -> None:
    assert unwanted(f"import {name}", (name,)) == [name]
