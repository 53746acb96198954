"""Two processes that record into one run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgm_tb.store.run import Run
from dgm_tb.store.writer import RunWriter
from tests.crash import child
from tests.crash.conftest import Recorder
from tests.crash.truth import Truth
from tests.store import made


def test_two_sessions_at_once_do_not_disturb_each_other(recorder: Recorder, tmp_path: Path) -> None:
    """The later one, which begins while the first records, begins at a later step: so all of both is read."""
    first = recorder.start(child.Task(tmp_path, made.SESSION, range(0, 1100)))
    first.hear(1)
    second = recorder.start(child.Task(tmp_path, made.LATER, range(1100, 2200)))
    first.finish()
    second.finish()
    assert first.acknowledged + second.acknowledged == list(range(2200))
    run = Run(tmp_path)
    assert Truth().never_wrong(run) == set(range(2200))
    assert Truth().rollups_never_wrong(run) - {0}
    assert run.problems == ()


def test_the_later_of_two_that_record_the_same_steps_counts(recorder: Recorder, tmp_path: Path) -> None:
    both = [recorder.start(child.Task(tmp_path, name, range(300))) for name in (made.SESSION, made.LATER)]
    for recording in both:
        recording.finish()
        assert recording.acknowledged == list(range(300))
    assert Truth().never_wrong(Run(tmp_path)) == set(range(300))


def test_of_two_with_the_same_name_one_is_refused(recorder: Recorder, tmp_path: Path) -> None:
    """Equal session names do not happen by chance; were they to, no file is ever written by two."""
    both = [recorder.start(child.Task(tmp_path, made.SESSION, range(300))) for _ in range(2)]
    for recording in both:
        recording.finish()
    assert sorted(recording.process.exitcode or 0 for recording in both) == [0, 1]
    assert sorted(len(recording.acknowledged) for recording in both) == [0, 300]
    assert Truth().never_wrong(Run(tmp_path)) == set(range(300))
    with pytest.raises(FileExistsError):
        RunWriter(tmp_path / "plugins" / "dgm", session=made.SESSION)
