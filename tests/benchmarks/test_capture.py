from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks import capture, limits, peers
from benchmarks.capture_steps import OURS, Profile, Spent
from benchmarks.trainings import CASES, Case, plain_step
from tests.benchmarks.tiny import Tiny


def _spent(wall: float) -> Spent:
    return Spent(wall, 1.5, math.nan, (3.0, 2.0))


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
    found = capture.in_own_process("peer", 0, (1,))
    assert found == {1: said}
    assert (capture._row(0, "NeuroLens", "", [found]) is None) is said.startswith("not installed")


def test_a_peer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("peer", 1)

    monkeypatch.setattr(subprocess, "run", slow)
    assert capture.in_own_process("peer", 0, (1, 10)) == dict.fromkeys((1, 10), "longer than 180 s")


def test_what_a_process_of_its_own_tells_before_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    told = 'a peer prints\nSPENT 1 {"wall": 2.0, "cpu": 1.5, "between": NaN, "kilobytes": [3.0, 2.0]}\n'
    result = subprocess.CompletedProcess([], 1, told, "OSError: x")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: result)
    found = capture.in_own_process(OURS, 0, (1, 10))
    first = found[1]
    assert isinstance(first, Spent)
    assert (first.wall, first.kilobytes) == (2.0, (3.0, 2.0))
    assert found[10] == "fails: OSError"


def test_the_whole_section(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str, case: int, intervals: Sequence[int]) -> dict[int, Spent | str]:
        if name == "torchmortem":
            return dict.fromkeys(intervals, "not installed: torchmortem")
        return {n: _spent(1 + 1 / n if name == OURS else 2.0) for n in intervals}

    monkeypatch.setattr(capture, "in_own_process", found)
    monkeypatch.setattr(capture, "_profiled", lambda _: Profile(25.0, (1.0, 2.0, 3.0, 4.0, 5.0, 7.0), 4.5))
    monkeypatch.setattr(limits, "against_a_read", lambda _: (2e-3, 1e-3))
    monkeypatch.setattr(limits, "per_call", lambda: 2e-5)
    monkeypatch.setattr(limits, "growth", lambda: [1.0, 2.0, 3.0])
    text = capture.run()
    assert "2.00 (2.00 … 2.00) | 1.10 (1.10 … 1.10) | 1.01 (1.01 … 1.01)" in text
    assert "- torchmortem: not installed" in text
    assert text.count("TorchLens") == len(capture.COMPARED)
    assert "every 1: 2.000, **missed** (≤ 1.15)" in text


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
    model = Tiny()
    with peers.histograms_and_activations(model, torch.rand(4, 3), 2, tmp_path) as step:
        for _ in range(3):
            step()
        assert not model.fc._forward_hooks
    assert sum(path.stat().st_size for path in tmp_path.rglob("events*")) > 500
