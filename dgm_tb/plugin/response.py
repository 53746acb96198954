"""A reply as TensorBoard sends it: its gzip, caching and security headers around a body, typed."""

from __future__ import annotations

from typing import cast

from tensorboard.backend import http_util
from werkzeug.wrappers import Request, Response


def respond(
    request: Request,
    body: bytes | str,
    content_type: str,
    *,
    code: int = 200,
    content_encoding: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """``body`` under ``content_type``, with ``nosniff`` and ``no-cache``; text is gzipped, binary is sent raw."""
    reply = http_util.Respond(
        request, body, content_type, code=code, content_encoding=content_encoding, headers=list(headers)
    )
    return cast(Response, reply)
