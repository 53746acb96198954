"""TensorBoard's own WSGI core around our plugin alone, without a server: what a browser would get."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tensorboard.plugins import base_plugin
from werkzeug.test import Client, TestResponse

from dgm_tb.plugin.app import DgmPlugin
from dgm_tb.plugin.wire import unpack

with warnings.catch_warnings():  # TensorBoard's own copy of html5lib warns of itself when it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from tensorboard.backend import application


@dataclass(frozen=True)
class Tab:
    """Asks the plugin's routes; each question must end in one of the statuses a client may get."""

    client: Client
    plugin: DgmPlugin

    def get(self, route: str, **parameters: object) -> TestResponse:
        query = {name: str(value) for name, value in parameters.items()}
        return self.client.get(f"/data/plugin/dgm/{route}", query_string=query)

    def json(self, route: str, **parameters: object) -> Any:
        response = self.get(route, **parameters)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "application/json"
        return response.json

    def arrays(self, route: str, **parameters: object) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        response = self.get(route, **parameters)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "application/octet-stream"
        return unpack(response.get_data())

    def refusal(self, route: str, **parameters: object) -> tuple[int, str]:
        response = self.get(route, **parameters)
        assert response.headers["Content-Type"].startswith("text/plain")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return response.status_code, response.text


def open_tab(logdir: Path | str, spec: str = "") -> Tab:
    """A tab over ``logdir`` as TensorBoard would start it."""
    flags = argparse.Namespace(logdir=str(logdir), logdir_spec=spec, samples_per_plugin={})
    plugin = DgmPlugin(base_plugin.TBContext(flags=flags, logdir=str(logdir)))
    return Tab(Client(application.TensorBoardWSGI([plugin])), plugin)
