"""SIGKILL at random moments: nothing acknowledged is lost, and nothing wrong is read."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.store.run import Run
from dgm_tb.store.writer import new_session
from tests.crash import child
from tests.crash.conftest import Recorder
from tests.crash.truth import Truth

SEED = 20261124
TRUTH = Truth()
#: Snapshots that a child would write: 64 of them become a block, 1,024 the first rolled-up block.
LONGEST = 1400


def session(number: int) -> str:
    return new_session(lambda: 1_795_500_000.0 + number)


@pytest.mark.parametrize("number", range(34))
def test_a_killed_recording_keeps_what_it_acknowledged(number: int, recorder: Recorder, tmp_path: Path) -> None:
    rng = np.random.default_rng([SEED, number])
    recording = recorder.start(child.Task(tmp_path, session(0), range(LONGEST)))
    recording.hear(int(rng.integers(0, LONGEST)))
    time.sleep(rng.uniform(0, 0.003))  # anywhere between two acknowledgements, in a block's making or its replacing
    recording.kill()
    acknowledged = set(recording.acknowledged)
    if not acknowledged:
        return  # killed before anything was promised; the others see to it that this is not the rule
    run = Run(tmp_path)
    assert acknowledged <= TRUTH.never_wrong(run)
    TRUTH.rollups_never_wrong(run)
    assert [problem for problem in run.problems if "damaged" in problem] == []


def test_a_run_whose_sessions_are_killed_again_and_again_goes_on(recorder: Recorder, tmp_path: Path) -> None:
    rng = np.random.default_rng([SEED, 100])
    promised: set[int] = set()
    start = 0
    for number in range(9):
        recording = recorder.start(child.Task(tmp_path, session(number), range(start, start + LONGEST)))
        recording.hear(int(rng.integers(50, 500)))
        time.sleep(rng.uniform(0, 0.003))
        recording.kill()
        promised |= set(recording.acknowledged)
        run = Run(tmp_path)
        assert promised <= TRUTH.never_wrong(run)
        start = int(run.steps[-1]) + 1
    assert len(promised) > 16 * 9
    assert TRUTH.rollups_never_wrong(Run(tmp_path)) - {0}


@pytest.mark.parametrize("number", range(8))
def test_a_killed_recording_with_a_budget_gives_up_only_what_it_says(
    number: int, recorder: Recorder, tmp_path: Path
) -> None:
    rng = np.random.default_rng([SEED, 200 + number])
    recording = recorder.start(child.Task(tmp_path, session(0), range(2000), max_disk=400_000))
    recording.hear(int(rng.integers(900, 1900)))
    time.sleep(rng.uniform(0, 0.003))
    recording.kill()
    run = Run(tmp_path)
    thinned = {step for thin in run.thinned if thin.level == 0 for step in range(thin.first_step, thin.last_step + 1)}
    assert thinned  # or the budget was none
    assert set(recording.acknowledged) - thinned <= TRUTH.never_wrong(run)
    assert TRUTH.rollups_never_wrong(run) - {0}


def test_reading_while_a_child_writes_and_is_killed(recorder: Recorder, tmp_path: Path) -> None:
    """What was pinned while journals became blocks reads the same after the death."""
    recording = recorder.start(child.Task(tmp_path, session(0), range(LONGEST)))
    pinned, heard = [], 0
    run: Run | None = None
    while heard < 1200:
        recording.hear(heard := heard + 100)
        run = run or Run(tmp_path)
        run.refresh()
        pinned.append(run.pinned())
        assert set(recording.acknowledged[:heard]) <= set(run.steps.tolist())
    recording.kill()
    for moment in pinned:
        assert len(TRUTH.never_wrong(moment)) == len(moment.steps)
