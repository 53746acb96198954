from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.client import Tab, open_tab
from tests.queries.recorded import SHAPE, Recorded, record


@pytest.fixture(scope="session")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logdir")


@pytest.fixture(scope="session")
def recorded(logdir: Path) -> Recorded:
    return record(logdir / "vae" / "version_0", SHAPE)


@pytest.fixture(scope="session")
def tab(logdir: Path, recorded: Recorded) -> Tab:
    return open_tab(logdir)
