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


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
