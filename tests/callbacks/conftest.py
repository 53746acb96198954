"""Both names of the framework, and a run's snapshots as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import torch


@pytest.fixture(params=["pytorch_lightning", "lightning.pytorch"])
def framework(request: pytest.FixtureRequest) -> Any:
    return import_module(request.param)


@pytest.fixture
def pl() -> Any:
    return import_module("pytorch_lightning")


@pytest.fixture
def unbroken(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test in which a guard swallowed something: an error of ours would pass unseen. Not with `degrading`."""
    yield
    signs = ("the recording stopped", "may be missing")
    said = [record.getMessage() for record in caplog.get_records("call") if record.name == "lightning_callbacks"]
    swallowed = [message for message in said if any(sign in message for sign in signs)]
    assert "degrading" in request.fixturenames or not swallowed, swallowed


@pytest.fixture
def degrading() -> None:
    """Asked for by a test that makes the recording fail."""


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
