"""The committed bundle of the tab was built from the sources beside it – told without node."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "dgm_tb_frontend"
STATIC = ROOT / "dgm_tb" / "plugin" / "static"
CONFIGS = ("bundle.mjs", "package-lock.json", "package.json", "tsconfig.json", "vite.config.mjs")
CAP = 150 * 1024  # bytes, gzipped: bundle.mjs


def source_digest(folder: Path) -> str:
    """The recipe of ``bundle.mjs``: SHA-256 over path NUL content NUL; paths relative, POSIX, in code-point order."""
    sources = [path for path in (folder / "src").rglob("*") if path.is_file()]
    built = [path for path in sources if not re.search(r"\.(test|fixture)\.tsx?$", path.name)]
    paths = [*(folder / name for name in CONFIGS), *built]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in paths):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def test_bundle_was_built_from_these_sources() -> None:
    manifest = json.loads((STATIC / "build.json").read_text())
    assert manifest["sources_sha256"] == source_digest(SOURCES), (
        "dgm_tb/plugin/static is stale: run `npm ci && npm run build` in dgm_tb_frontend and commit the result"
    )


def test_digest_sees_a_changed_an_added_and_a_renamed_file(tmp_path: Path) -> None:
    for name in CONFIGS:
        (tmp_path / name).write_text(name)
    (tmp_path / "src").mkdir()
    one = tmp_path / "src" / "one.ts"
    one.write_text("1")
    digests = [source_digest(tmp_path)]
    (tmp_path / "src" / "one.test.ts").write_text("a test is not bundled")
    assert source_digest(tmp_path) == digests[0]
    one.write_text("2")
    digests.append(source_digest(tmp_path))
    (tmp_path / "src" / "two.ts").write_text("")
    digests.append(source_digest(tmp_path))
    one.rename(tmp_path / "src" / "three.ts")
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == 4


def test_bundle_holds_what_it_names_under_stable_names() -> None:
    scripts = sorted(path.name for path in STATIC.glob("*.js"))
    assert scripts == json.loads((STATIC / "build.json").read_text())["files"] == ["index.js", "layout.worker.js"]
    assert sum(len(gzip.compress((STATIC / name).read_bytes(), 9)) for name in scripts) <= CAP


def test_entry_exports_render_and_starts_its_worker_by_address() -> None:
    """TensorBoard's content policy forbids blob: and data: workers, and anything from another host."""
    entry = (STATIC / "index.js").read_text()
    assert re.search(r"export\s*\{[^}]*\bas render\b", entry)
    assert "layout.worker.js" in entry
    assert "data:text/javascript" not in entry
    assert entry.count("new Worker(") == entry.count("new Worker(new URL(") > 0


def test_licences_of_everything_bundled_are_there() -> None:
    text = (STATIC / "THIRD_PARTY_LICENSES.txt").read_text()
    lock = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    for name in lock[""]["dependencies"]:
        assert f"{name} {lock[f'node_modules/{name}']['version']}\n" in text


@pytest.mark.parametrize("section", ["dependencies", "devDependencies"])
def test_versions_are_pinned_exactly(section: str) -> None:
    for name, version in json.loads((SOURCES / "package.json").read_text())[section].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} {version} is a range"


def test_lockfile_names_no_registry_but_npms() -> None:
    for name, entry in json.loads((SOURCES / "package-lock.json").read_text())["packages"].items():
        assert entry.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name
