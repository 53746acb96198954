"""The plugin itself: routes, and the one way from a request to a reply.

The queries are imported by the first request and not here: they bring NumPy and numba.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from tensorboard import errors
from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request, Response

from dgm_tb.errors import FormatError, UnknownNameError, UsageError
from dgm_tb.plugin import assets
from dgm_tb.plugin.desk import Desk
from dgm_tb.plugin.logdir import roots
from dgm_tb.plugin.response import respond

logger = logging.getLogger(__name__)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: The questions about one run: a route, a module of `dgm_tb.queries`, a row of `params.PARAMETERS` each.
QUESTIONS: Final = ("loss", "graph", "aggregates", "layer", "density", "neuron")
#: Those about its deep snapshots, likewise.
DEEP: Final = ("deep", "sample")
#: Those that a worker process computes; likewise, and they are asked again until it has.
ASKED: Final = ("credit", "replay", "origin")


class DgmPlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # tensorboard ships no types
    """Serves the tab and its data; every route answers GET only and changes nothing."""

    plugin_name = "dgm"

    def __init__(self, context: base_plugin.TBContext) -> None:
        logdir, spec = context.logdir or "", getattr(context.flags, "logdir_spec", "") or ""
        self._desk = Desk(logdir or spec, roots(logdir, spec))

    def get_plugin_apps(self) -> dict[str, WsgiApp]:
        self._desk.open_soon()
        return {
            "/static/*": _guarded(assets.serve),
            "/runs": _guarded(self._runs),
            **{f"/{noun}": _guarded(self._question(noun)) for noun in (*QUESTIONS, *DEEP)},
            **{f"/{noun}": _guarded(self._asked(noun)) for noun in ASKED},
        }

    def is_active(self) -> bool:
        """Asked on every page load and reload, so it only looks at what the scanning thread last found."""
        return self._desk.active

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path=assets.ENTRY, tab_name="DGM")

    def _runs(self, request: Request) -> Response:
        from dgm_tb.plugin import params
        from dgm_tb.queries import runs

        question = params.parse("runs", runs.Request, request.args.items(multi=True))
        view = runs.answer(self._desk.heartbeat, question)
        if view.runs:
            self._desk.warm_soon()
        return _reply(request, view)

    def _question(self, noun: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            from dgm_tb.plugin import params

            query = importlib.import_module(f"dgm_tb.queries.{noun}")
            question = params.parse(noun, query.Request, request.args.items(multi=True))
            return _reply(request, query.answer(self._desk.catalog.open(question.run), question))

        return handle

    def _asked(self, noun: str) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            from dgm_tb.plugin import params

            query = importlib.import_module(f"dgm_tb.queries.{noun}")
            question = params.parse(noun, query.Request, request.args.items(multi=True))
            run = self._desk.catalog.open(question.run)
            return _reply(request, query.answer(run, question, self._desk.worker))

        return handle


def _reply(request: Request, view: object) -> Response:
    from dgm_tb.plugin import wire

    reply = wire.encode(view)
    return respond(request, reply.body, reply.content_type)


def _guarded(handle: Callable[[Request], Response]) -> WsgiApp:
    """A WSGI app that answers GET with ``handle`` and whose every failure is a sentence, never a traceback.

    UsageError is a 400, UnknownNameError a 404, FormatError and a vanished or unreadable file a 409.
    """

    @Request.application
    def app(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            text = f"{request.method} is not allowed: every route of this plugin is a GET and changes nothing"
            return respond(request, text, "text/plain", code=405, headers=(("Allow", "GET, HEAD"),))
        try:
            return handle(request)
        except UsageError as error:
            raise errors.InvalidArgumentError(_sentence(error)) from error
        except UnknownNameError as error:
            raise errors.NotFoundError(_sentence(error)) from error
        except (FormatError, OSError) as error:
            return respond(request, f"Cannot be read: {_sentence(error)}", "text/plain", code=409)
        except Exception:  # a fault of ours: a client gets a sentence, never a traceback
            logger.exception("DGM could not answer %s", request.full_path)
            text = "DGM failed to answer this request; the log of the TensorBoard server says why."
            return respond(request, text, "text/plain", code=500)

    return app


def _sentence(error: Exception) -> str:
    """The error's message as UTF-8 can carry it: a file name in it that is not UTF-8 comes as lone surrogates."""
    return str(error).encode("utf-8", "backslashreplace").decode()
