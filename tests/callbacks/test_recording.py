from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_callbacks import moments, options, recording
from lightning_callbacks.recording import Recording

pytestmark = pytest.mark.usefixtures("unbroken")


def _recording(module: nn.Module, directory: Path, device: str | None = None) -> Recording:
    where = None if device is None else torch.device(device)
    session = "20261124T061530Z-1a2b3c4d"
    return Recording(module, directory, options.parse(), clock=lambda: 5.0, session=session, device=where)


@pytest.mark.parametrize(
    ("module", "device", "compiled"),
    [
        (nn.Linear(2, 2), None, [{torch.float32}]),
        (nn.Linear(2, 2).bfloat16(), None, [{torch.float32}]),  # half precisions are read as float32
        (nn.Linear(2, 2).double(), None, [{torch.float64}]),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()), None, [{torch.float32, torch.float64}]),
        (nn.ReLU(), None, [{torch.float32}]),
        (nn.Linear(2, 2, device="meta"), None, []),
        (nn.Linear(2, 2), "cuda", []),
        (nn.Linear(2, 2), "cpu", [{torch.float32}]),
    ],
)
def test_only_the_kernels_that_the_model_needs_are_compiled(
    module: nn.Module,
    device: str | None,
    compiled: list[set[torch.dtype]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[set[torch.dtype]] = []
    monkeypatch.setattr(moments, "warm_up", asked.append)
    _recording(module, tmp_path, device).close()
    assert asked == compiled


def test_a_long_compilation_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(moments, "warm_up", lambda dtypes: None)
    for seconds in (0.1, 12.0):
        readings = iter([100.0, 100.0 + seconds])
        monkeypatch.setattr(time, "monotonic", lambda readings=readings: next(readings))
        recording._compile(nn.Linear(2, 2), None)
    assert [record.getMessage() for record in caplog.records] == [
        "DGM: compiled its kernels in 12.0 s; they are kept for later runs"
    ]


def test_batches_of_one_step_are_decided_on_once(tmp_path: Path) -> None:
    made = _recording(nn.Linear(2, 2), tmp_path)
    made.step_index = 64
    for stepped in (False, False, True):
        made.begin_batch()
        assert not made.capturing
        made.end_batch(stepped)
    assert made.step_index == 65
    made.step_index = 100
    for stepped in (False, True):
        made.begin_batch()
        assert made.capturing
        made.end_batch(stepped)
    assert not made.capturing
    made.close()


def test_after_the_end_nothing_is_captured(tmp_path: Path) -> None:
    made = _recording(module := nn.Linear(2, 2), tmp_path)
    made.close()
    made.close()
    made.begin_batch()
    assert not module._forward_hooks
    assert not made.recording
    made.end_batch(True)


@pytest.mark.parametrize(("given", "ranks", "share"), [(None, 4, None), (1000, 1, 1000), (1000, 3, 333), (2, 3, 1)])
def test_the_disk_is_shared_among_the_processes(
    given: int | None, ranks: int, share: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    class Writer:
        def __init__(self, directory: Path, **arguments: object) -> None:
            asked.append(arguments)
            self.dropped = 0

        def close(self, reason: str) -> None:
            pass

    monkeypatch.setattr(recording, "RunWriter", Writer)
    parsed = options.parse(max_disk=given, dtype="float16")
    Recording(nn.Linear(2, 2), tmp_path, parsed, clock=lambda: 5.0, session="s", rank=1, ranks=ranks).close()
    assert (asked[0]["max_disk"], asked[0]["half"], asked[0]["rank"]) == (share, True, 1)
