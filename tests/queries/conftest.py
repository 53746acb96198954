from __future__ import annotations

from collections.abc import Iterator

import pytest

from dgm_tb.store.run import Run
from tests.queries.deeply import deep_run
from tests.queries.recorded import Recorded, record


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture(scope="session")
def run(recorded: Recorded) -> Iterator[Run]:
    with Run(recorded.directory) as run:
        yield run


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with deep snapshots."""
    directory = tmp_path_factory.mktemp("deep")
    deep_run(directory)
    with Run(directory) as run:
        yield run
