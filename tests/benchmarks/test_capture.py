from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import capture, peers
from benchmarks.trainings import CASES, Case, plain_step


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.fc(x).square().mean()
        return loss


TINY = Case("tiny", _Tiny, lambda: torch.rand(4, 3))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "CASES", (TINY,))
    monkeypatch.setattr(capture, "WARM", 4)
    monkeypatch.setattr(capture, "STEPS", {1: 3, 10: 20})


@pytest.mark.usefixtures("tiny")
def test_ours_is_measured_with_its_size_and_the_steps_between() -> None:
    found = capture.spent(capture.OURS, 0, 10)
    assert found.wall > 0
    assert found.cpu > 0
    assert found.between > 0
    on_disk, alone = found.kilobytes
    assert on_disk > alone > 0
    assert math.isnan(capture.spent(capture.OURS, 0, 1).between)


@pytest.mark.usefixtures("tiny")
def test_what_a_quantity_alone_adds() -> None:
    plain, added = capture.extra(0, ("weight",))
    assert plain > 0
    assert added > 0


@pytest.mark.usefixtures("tiny")
def test_a_peer_is_measured() -> None:
    assert capture.spent("`detect_anomaly`", 0, 1).wall > 0


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("Traceback ...\nModuleNotFoundError: No module named 'peer.part'\n", "not installed: peer"),
        ("Traceback ...\npeer.errors.PeerError: two\nlines\n", "fails: peer.errors.PeerError"),
        ("", "the process died"),
    ],
)
def test_why_a_peer_is_not_measured(stderr: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = subprocess.CompletedProcess([], 1, "a peer prints\n", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: result)
    assert capture.in_own_process("peer", 0, 1) == said
    assert (capture._row(0, "NeuroLens", "", (1,), 1) is None) is said.startswith("not installed")


def test_what_a_process_of_its_own_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    told = 'a peer prints\nSPENT {"wall": 2.0, "cpu": 1.5, "between": NaN, "kilobytes": [3.0, 2.0]}\n'
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, told, ""))
    found = capture.in_own_process(capture.OURS, 0, 1)
    assert isinstance(found, capture.Spent)
    assert (found.wall, found.kilobytes) == (2.0, (3.0, 2.0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_training_learns(case: Case) -> None:
    torch.manual_seed(0)
    model, batch = case.model(), case.batch()[:8]
    before = float(model(batch).detach())
    step = plain_step(model, batch)
    for _ in range(4):
        step()
    assert float(model(batch).detach()) < before


def test_histograms_capture_from_the_first_step_on(tmp_path: Path) -> None:
    model = _Tiny()
    with peers.histograms_and_activations(model, torch.rand(4, 3), 2, tmp_path) as step:
        for _ in range(3):
            step()
        assert not model.fc._forward_hooks
    assert sum(path.stat().st_size for path in tmp_path.rglob("events*")) > 500
