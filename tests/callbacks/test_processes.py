"""One process; several are `tests/conformance/test_ddp.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch.distributed as dist

from lightning_callbacks import processes


class _Store:
    """A process group's store, with what others have put there."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def compare_set(self, key: str, expected: str, value: str) -> bytes:
        return self.values.setdefault(key, value).encode()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> _Store:
    store = _Store()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: store)
    return store


def test_alone_it_names_the_recording_itself(tmp_path: Path) -> None:
    one, other = (processes.this_process(tmp_path, lambda: 0.0) for _ in range(2))
    assert (one.rank, one.ranks) == (0, 1)
    assert one.session != other.session


def test_the_first_to_come_names_it(store: _Store, tmp_path: Path) -> None:
    mine = processes.this_process(tmp_path, lambda: 0.0)
    assert list(store.values.values()) == [mine.session]
    store.values[f"dgm-tb/1/{tmp_path}"] = "theirs"
    assert processes.this_process(tmp_path, lambda: 0.0) == processes.Process("theirs", 1, 2)
    assert processes.this_process(tmp_path / "another", lambda: 0.0).session not in ("theirs", mine.session)


def test_without_a_store_each_names_its_own(
    monkeypatch: pytest.MonkeyPatch, store: _Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: 1 / 0)
    assert processes.this_process(tmp_path, lambda: 0.0).rank == 1
    assert "a session of its own" in caplog.text
