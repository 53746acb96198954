from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from dgm_tb.errors import UnknownNameError
from dgm_tb.plugin.assets import serve


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.js").write_text("export function render() {}")
    (folder / "index.css").write_text("a {}")
    (folder / "sub" / "data.bin").write_bytes(b"\0\1")
    (tmp_path / "secret.js").write_text("secret")
    (tmp_path / "static-more").mkdir()
    (tmp_path / "static-more" / "x.js").write_text("secret")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    return folder


def fetch(folder: Path, name: str, encoding: str = "") -> Response:
    environ = EnvironBuilder(
        path="/data/plugin/dgm/static/" + name, headers=[("Accept-Encoding", encoding)]
    ).get_environ()
    return serve(Request(environ), folder)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("index.js", "text/javascript; charset=utf-8"),
        ("index.css", "text/css; charset=utf-8"),
        ("sub/data.bin", "application/octet-stream"),
    ],
)
def test_files_come_whole_under_their_own_type(folder: Path, name: str, content_type: str) -> None:
    response = fetch(folder, name)
    assert response.status_code == 200
    assert response.get_data() == (folder / name).read_bytes()
    assert response.headers["Content-Type"] == content_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["../secret.js", "sub/../../secret.js", "/etc/passwd", "..%2Fsecret.js", "link.js", "../static-more/x.js", "sub",
     "", ".", "..", "x\0.js", "index.js/", "no.js", "a" * 5000],
)  # fmt: skip
def test_nothing_outside_the_folder_is_served(folder: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match="is not a file of the tab"):
        fetch(folder, name)


def test_a_compressed_twin_is_sent_as_it_is(folder: Path) -> None:
    packed = gzip.compress(b"packed", mtime=0)
    (folder / "index.js.gz").write_bytes(packed)
    response = fetch(folder, "index.js", "gzip")
    assert response.get_data() == packed
    assert response.headers["Content-Encoding"] == "gzip"
    assert b"".join(fetch(folder, "index.js").response) == b"packed"  # type: ignore[arg-type]


def test_a_missing_bundle_is_a_page_that_says_so(tmp_path: Path) -> None:
    response = fetch(tmp_path, "index.js")
    assert response.headers["Content-Type"].startswith("text/javascript")
    assert "export function render()" in response.get_data(as_text=True)
    assert "npm run build" in response.get_data(as_text=True)
