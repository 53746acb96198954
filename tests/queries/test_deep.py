"""Which deep snapshots a run has, and what one of them holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgm_tb.errors import FormatError, UnknownNameError
from dgm_tb.queries.deep import Request, answer, find, snapshots
from dgm_tb.replay import deep
from dgm_tb.store.run import Run
from lightning_callbacks.deep import Keeper
from tests.queries.deeply import EARLIER, LATER, deep_run, keep
from tests.store.made import LATER as LATER_SESSION
from tests.store.made import manifest, snapshot, write


def test_all_are_listed_and_one_tells_what_it_holds(tmp_path: Path) -> None:
    session = deep_run(tmp_path)
    with Run(tmp_path) as run:
        view = answer(run, Request(""))
        assert [one.step for one in view.deep] == [EARLIER, LATER]
        assert [one.size for one in view.deep] == [one.size for one in deep.listing(session)]
        assert (view.contents, view.reason) == (None, None)
        contents = answer(run, Request("", LATER)).contents
    assert contents is not None
    assert contents.nodes == {"backward#0": ("first", "act", "last")}
    assert [(one.dtype, one.shape) for one in contents.inputs] == [("float32", (6, 6)), ("int64", (6,))]
    assert contents.weights == ("first.weight", "first.bias", "last.weight", "last.bias")
    assert contents.ops > 4


def test_a_step_that_is_not_deep_is_told_with_the_nearest(tmp_path: Path) -> None:
    deep_run(tmp_path)
    with Run(tmp_path) as run, pytest.raises(UnknownNameError, match="nearest deep snapshots are at steps 0, 3"):
        answer(run, Request("", 2))
    with pytest.raises(UnknownNameError, match="deep_every_n_steps"):
        find({}, 2)


def test_why_there_are_none_is_told(tmp_path: Path) -> None:
    session = write(tmp_path, [manifest(), snapshot(0)])
    Keeper(session, 1 << 30).explain("a step takes 9 GiB")
    with Run(tmp_path) as run:
        assert answer(run, Request("")).reason == "a step takes 9 GiB"


def test_a_resumed_session_replaces_what_came_after_its_first(tmp_path: Path) -> None:
    first = deep_run(tmp_path)
    (first / deep.FOLDER / deep.name(LATER)).rename(first / deep.FOLDER / deep.name(LATER + 6))
    second = write(tmp_path, [manifest(), snapshot(3)], session=LATER_SESSION)
    keep(second)
    (second / deep.FOLDER / deep.name(EARLIER)).rename(second / deep.FOLDER / deep.name(2))
    with Run(tmp_path) as run:
        found = snapshots(run)
    assert list(found) == [EARLIER, 2, LATER]
    assert found[LATER].path.is_relative_to(second)


def test_a_tape_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    session = deep_run(tmp_path)
    (session / deep.FOLDER / deep.name(LATER) / deep.TAPE).write_text("{}")
    with Run(tmp_path) as run, pytest.raises(FormatError, match="damaged"):
        answer(run, Request("", LATER))
