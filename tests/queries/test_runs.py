from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.queries.runs import PATIENCE, SILENCE, Heartbeat, Request, View, answer
from dgm_tb.records import Node, Thinned
from dgm_tb.store.catalog import Catalog
from dgm_tb.store.losses import Losses
from dgm_tb.store.run import Run
from tests.waiting import until


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
    thinned: tuple[Thinned, ...] = ()
    ranks: int = 1
    schedule: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class FakeCatalog:
    runs: dict[str, FakeRun | Exception]

    spend: Callable[[], None] = lambda: None  # what opening takes
    opened: list[str] = dataclasses.field(default_factory=list)

    def names(self) -> tuple[str, ...]:
        return tuple(self.runs)

    def waiting(self) -> tuple[str, ...]:
        return tuple(name for name in reversed(self.runs) if name not in self.opened)

    def open(self, name: str) -> Run:
        self.spend()
        self.opened.append(name)
        run = self.runs[name]
        if isinstance(run, Exception):
            raise run
        return cast(Run, run)


class World:
    """A catalogue, a clock and the heartbeat over both."""

    def __init__(self, **runs: FakeRun | Exception) -> None:
        self.now, self.timer = 1001.0, 0.0
        self.catalog = FakeCatalog(dict(runs))
        self.heartbeat = Heartbeat(cast(Catalog, self.catalog), "/logs", lambda: self.now, lambda: self.timer)

    def ask(self, since: str | None = None) -> View:
        return answer(self.heartbeat, Request(since))


def names(view: View) -> list[str]:
    return [run.name for run in view.runs]


def test_a_summary_says_where_a_run_stands() -> None:
    view = World(a=FakeRun()).ask()
    assert dataclasses.asdict(view.runs[0]) == {
        "name": "a", "state": "live", "snapshots": 2, "first_step": 0, "last_step": 10, "generation": 1,
        "started": 100.0, "last_wall_time": 1000.0, "losses": 11, "graph": "g", "reason": None, "problems": (),
        "notes": (), "thinned": (),
    }  # fmt: skip
    assert (view.now, view.logdir, view.gone, view.unread) == (1001.0, "/logs", (), 0)


@pytest.mark.parametrize(
    ("reason", "age", "state"),
    [(None, 0, "live"), (None, SILENCE, "live"), (None, SILENCE + 1, "silent"), ("finished", 0, "ended")],
)
def test_the_state_follows_from_the_end_and_the_clock(reason: str | None, age: float, state: str) -> None:
    world = World(a=FakeRun(end_reason=reason))
    world.now = 1000.0 + age
    assert world.ask().runs[0].state == state


def test_a_run_that_grows_is_live_however_far_behind_its_clock_is() -> None:
    world = World(a=FakeRun(last_wall_time=-3600.0))
    assert world.ask().runs[0].state == "silent"
    world.catalog.runs["a"] = FakeRun(last_wall_time=-3599.0)
    assert world.ask().runs[0].state == "live"
    world.timer += SILENCE + 1
    assert world.ask().runs[0].state == "silent"


def test_a_killed_run_whose_clock_was_ahead_is_not_live_until_then() -> None:
    world = World(a=FakeRun(last_wall_time=1001.0 + 3600))
    assert world.ask().runs[0].state == "silent"


def test_a_clock_that_jumps_here_does_not_silence_a_run_that_grows() -> None:
    world = World(a=FakeRun())
    world.ask()
    world.now += 3600
    world.catalog.runs["a"] = FakeRun(steps=np.array([0, 10, 20]))
    assert world.ask().runs[0].state == "live"


def test_a_beat_ends_in_time_and_the_rest_is_read_behind_it_newest_first() -> None:
    world = World(**{f"run{number}": FakeRun() for number in range(10)})

    def spend() -> None:
        world.timer += PATIENCE / 4

    world.catalog.spend = spend
    first = world.ask()
    assert names(first) == ["run5", "run6", "run7", "run8", "run9"]  # the last of them ran over the time
    assert first.unread == 5
    until(lambda: not world.catalog.waiting())
    world.catalog.spend = lambda: None
    second = world.ask(first.cursor)
    assert sorted(names(second)) == ["run0", "run1", "run2", "run3", "run4"]
    assert second.unread == 0


def test_every_run_has_its_turn_however_slow_they_are() -> None:
    world = World(**{f"run{number}": FakeRun() for number in range(5)})
    world.ask()
    cursor = world.ask().cursor
    world.catalog.runs = {name: FakeRun(steps=np.arange(9)) for name in world.catalog.runs}

    def spend() -> None:
        world.timer += PATIENCE

    world.catalog.spend = spend
    heard: list[str] = []
    for _ in range(3):  # two runs a beat
        view = world.ask(cursor)
        assert 1 <= len(view.runs) <= 2
        cursor = view.cursor
        heard += names(view)
    assert sorted(heard) == [f"run{number}" for number in range(5)]


def test_a_run_that_was_not_looked_at_is_not_gone() -> None:
    world = World(a=FakeRun(), b=FakeRun())
    cursor = world.ask().cursor

    def spend() -> None:
        world.timer += 2 * PATIENCE

    world.catalog.spend = spend
    view = world.ask(cursor)
    assert (view.gone, view.unread) == ((), 0)


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
