"""The built frontend: files of ``static/``, and a page that says so where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from werkzeug.wrappers import Request, Response

from dgm_tb.errors import UnknownNameError
from dgm_tb.plugin.response import respond

#: The module whose ``render`` TensorBoard's frame calls, relative to ``data/plugin/dgm``.
ENTRY: Final = "/static/index.js"
FOLDER: Final = Path(__file__).parent / "static"

# A browser runs a module only under a JavaScript media type, and none may be guessed from the host's mime.types.
_TYPES: Final[Mapping[str, str]] = {
    ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".html": "text/html",
    ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2", ".txt": "text/plain",
}  # fmt: skip

_MISSING: Final = (
    "The DGM tab was not built: dgm_tb/plugin/static/index.js is missing from this installation. "
    "Install a release of dgm-tb, or run `npm ci && npm run build` in dgm_tb_frontend/ of the source tree, then reload."
)


def serve(request: Request, folder: Path = FOLDER) -> Response:
    """The file under ``folder`` that the path after ``/static/`` names, or its compressed twin ``<name>.gz``."""
    name = request.path.partition("/static/")[2]
    path = _files(folder).get(name)
    if path is None and name == "index.js":
        return respond(request, _page(_MISSING), "text/javascript")
    if path is None:
        raise UnknownNameError(f"{name[:80]!r} is not a file of the tab")
    content_type = _TYPES.get(path.suffix, "application/octet-stream")
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        return respond(request, packed.read_bytes(), content_type, content_encoding="gzip")
    return respond(request, path.read_bytes(), content_type)


def _files(folder: Path) -> Mapping[str, Path]:
    """The files there are, by name: a request picks one of these and never makes a path (``..``, a link)."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in files}


def _page(text: str) -> str:
    return f"export function render() {{ document.body.textContent = {json.dumps(text)}; }}\n"
