from __future__ import annotations

import math

import pytest
import torch

from benchmarks import capture_steps
from benchmarks.capture_steps import Pace
from benchmarks.trainings import Case
from dgm_tb.records import QUANTITIES
from lightning_callbacks import kernels
from tests.benchmarks.tiny import Tiny

SHORT = Pace(warm=4, peer_warm=1, steps={1: 3, 10: 20}, profiled=3)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_steps, "CASES", (Case("tiny", Tiny, lambda: torch.rand(4, 3)),))


@pytest.mark.parametrize("name", [capture_steps.OURS, capture_steps.DEEP])
def test_ours_is_measured_with_its_size_and_the_steps_between(name: str) -> None:
    found = capture_steps.spent(name, 0, 10, SHORT)
    assert found.wall > 0
    assert found.cpu > 0
    assert found.between > 0
    on_disk, alone = found.kilobytes
    assert on_disk > alone > 0
    assert math.isnan(capture_steps.spent(name, 0, 1, SHORT).between)


def test_a_profile_has_the_kernels_apart_and_leaves_them_as_they_were() -> None:
    originals = kernels.reduce, kernels.keep, kernels.change_of
    found = capture_steps.profile(0, SHORT)
    assert found.plain > 0
    assert len(found.added) == len(QUANTITIES) + 1
    assert 0 < found.kernels < found.plain + found.added[-1]
    assert originals == (kernels.reduce, kernels.keep, kernels.change_of)


def test_a_peer_is_measured_and_has_no_size() -> None:
    found = capture_steps.spent("`detect_anomaly`", 0, 1, SHORT)
    assert found.wall > 0
    assert math.isnan(found.kilobytes[0])


def test_a_process_tells_each_interval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(capture_steps, "Pace", lambda: SHORT)
    capture_steps.main(["`detect_anomaly`", "0", "1", "10"])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["SPENT", "1"], ["SPENT", "10"]]
