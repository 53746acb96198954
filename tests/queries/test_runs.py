from __future__ import annotations

import dataclasses
import threading
from typing import Any, cast

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.queries.runs import SILENCE, Heartbeat, Request, View, answer
from dgm_tb.records import Node
from dgm_tb.store.catalog import Catalog
from dgm_tb.store.losses import Losses
from dgm_tb.store.run import Run


def losses(steps: int, nan: int = 0) -> Losses:
    values = np.ones((1, steps))
    values[0, :nan] = np.nan
    return Losses(("loss",), np.arange(steps), np.zeros(steps), values, np.ones((1, steps), bool))


@dataclasses.dataclass
class FakeRun:
    steps: Any = dataclasses.field(default_factory=lambda: np.array([0, 10]))
    generation: int = 1
    started: float = 100.0
    last_wall_time: float = 1000.0
    end_reason: str | None = None
    losses: Losses = dataclasses.field(default_factory=lambda: losses(11))
    graph_id: str | None = "g"
    nodes: tuple[Node, ...] = (Node("a", "Linear", "", 3),)
    problems: tuple[str, ...] = ()


@dataclasses.dataclass
class FakeCatalog:
    runs: dict[str, FakeRun | Exception]

    def names(self) -> tuple[str, ...]:
        return tuple(self.runs)

    def open(self, name: str) -> Run:
        run = self.runs[name]
        if isinstance(run, Exception):
            raise run
        return cast(Run, run)


class World:
    """A catalogue, a clock and the heartbeat over both."""

    def __init__(self, **runs: FakeRun | Exception) -> None:
        self.now = 1001.0
        self.catalog = FakeCatalog(dict(runs))
        self.heartbeat = Heartbeat(cast(Catalog, self.catalog), "/logs", lambda: self.now)

    def ask(self, since: str | None = None) -> View:
        return answer(self.heartbeat, Request(since))


def names(view: View) -> list[str]:
    return [run.name for run in view.runs]


def test_a_summary_says_where_a_run_stands() -> None:
    view = World(a=FakeRun()).ask()
    assert dataclasses.asdict(view.runs[0]) == {
        "name": "a", "state": "live", "snapshots": 2, "first_step": 0, "last_step": 10, "generation": 1,
        "started": 100.0, "last_wall_time": 1000.0, "losses": 11, "graph": "g", "reason": None, "problems": (),
    }  # fmt: skip
    assert (view.now, view.logdir, view.gone) == (1001.0, "/logs", ())


@pytest.mark.parametrize(
    ("reason", "age", "state"),
    [(None, 0, "live"), (None, SILENCE, "live"), (None, SILENCE + 1, "silent"), ("finished", 0, "ended")],
)
def test_the_state_follows_from_the_end_and_the_clock(reason: str | None, age: float, state: str) -> None:
    world = World(a=FakeRun(end_reason=reason))
    world.now = 1000.0 + age
    assert world.ask().runs[0].state == state


def test_since_lists_only_what_changed() -> None:
    world = World(a=FakeRun(), b=FakeRun())
    first = world.ask()
    assert names(first) == ["a", "b"]
    assert names(world.ask(first.cursor)) == []
    world.catalog.runs["b"] = FakeRun(steps=np.array([0, 10, 20]))
    second = world.ask(first.cursor)
    assert names(second) == ["b"]
    assert names(world.ask(second.cursor)) == []
    assert names(world.ask(first.cursor)) == ["b"]
    assert names(world.ask()) == ["a", "b"]


def test_falling_silent_is_a_change() -> None:
    world = World(a=FakeRun())
    cursor = world.ask().cursor
    world.now += SILENCE
    assert [run.state for run in world.ask(cursor).runs] == ["silent"]


def test_a_run_that_vanished_is_gone_until_it_is_back() -> None:
    world = World(a=FakeRun(), b=FakeRun())
    first = world.ask()
    run = world.catalog.runs.pop("a")
    second = world.ask(first.cursor)
    assert (names(second), second.gone) == ([], ("a",))
    assert world.ask(second.cursor).gone == ()
    assert (names(world.ask()), world.ask().gone) == (["b"], ())
    world.catalog.runs["a"] = run
    third = world.ask(second.cursor)
    assert (names(third), third.gone) == (["a"], ())


@pytest.mark.parametrize("cursor", ["", "x", "-", "0-0", "00000000-99", "abc-1-2", "-1", "٣"])
def test_a_foreign_cursor_gets_everything(cursor: str) -> None:
    world = World(a=FakeRun())
    world.ask()
    assert names(world.ask(cursor)) == ["a"]


def test_the_cursor_of_another_server_gets_everything() -> None:
    cursor = World(a=FakeRun()).ask().cursor
    assert names(World(a=FakeRun()).ask(cursor)) == ["a"]


def test_a_run_that_cannot_be_read_is_listed_with_the_reason_and_hides_no_other() -> None:
    view = World(a=FormatError("bad bytes"), b=PermissionError("not yours"), c=FakeRun()).ask()
    assert [(run.name, run.problems, run.snapshots) for run in view.runs] == [
        ("a", ("bad bytes",), 0),
        ("b", ("not yours",), 0),
        ("c", (), 2),
    ]


def test_before_the_first_snapshot_steps_are_null() -> None:
    (run,) = World(a=FakeRun(steps=np.empty(0, np.int64), graph_id=None, nodes=())).ask().runs
    assert (run.first_step, run.last_step, run.snapshots, run.graph) == (None, None, 0, None)


def test_a_time_that_is_no_number_does_not_change_at_every_beat() -> None:
    world = World(a=FakeRun(started=float("nan"), last_wall_time=float("nan")))
    view = world.ask()
    assert (view.runs[0].started, view.runs[0].state) == (None, "silent")
    assert names(world.ask(view.cursor)) == []


def test_losses_count_steps_nan_included() -> None:
    assert World(a=FakeRun(losses=losses(5, nan=2))).ask().runs[0].losses == 5


def test_an_older_look_never_overwrites_a_newer_one() -> None:
    world, looking, go_on = World(a=FakeRun()), threading.Event(), threading.Event()
    old, new = FakeRun(), FakeRun(steps=np.array([0, 10, 20]))
    looks = iter([old, new, new])

    class SlowAtFirst(FakeCatalog):
        def open(self, name: str) -> Run:
            found = next(looks)
            if found is old:
                looking.set()
                assert go_on.wait(30)
            return cast(Run, found)

    world.heartbeat = Heartbeat(cast(Catalog, SlowAtFirst({"a": old})), "/logs", lambda: world.now)
    first, second = threading.Thread(target=world.ask), threading.Thread(target=world.ask)
    first.start()
    assert looking.wait(30)
    second.start()
    second.join(0.2)  # were the second look not to wait for the first, it would be through by now
    go_on.set()
    first.join()
    second.join()
    view = world.ask()
    assert view.runs[0].snapshots == 3
    assert view.cursor.endswith("-2")  # the old state, then the new one: two changes, not three
