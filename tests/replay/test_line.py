"""Who waits for the worker, and for how long."""

from __future__ import annotations

from itertools import count

import pytest

from dgm_tb.replay.ask import OriginAsked
from dgm_tb.replay.line import ABSENT, Line, Question


class Queue:
    """A line with a worker that takes the first whenever it is idle, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.line = Line()
        self.now = 0.0
        self._numbers = count(1)

    def ask(self, asker: str, question: str) -> str:
        """The state of what is asked."""
        joined = self.line.join(OriginAsked(question, "backward#0"), question, asker, self.now)
        self._take()
        return "running" if joined.number else "waiting"

    def answer(self) -> str:
        """The worker is done: what it was at leaves the line."""
        running = self.line.running
        assert running is not None
        self.line.leave(running)
        self._take()
        return str(running.key)

    def _take(self) -> None:
        first = self.line.first
        if first is not None and not first.number:
            first.number = next(self._numbers)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_it_is_empty_at_first() -> None:
    assert (Line().first, Line().running) == (None, None)


def test_askers_stand_in_the_order_in_which_they_came(queue: Queue) -> None:
    assert [queue.ask("a", "1"), queue.ask("b", "2"), queue.ask("c", "3")] == ["running", "waiting", "waiting"]
    assert [queue.ask("c", "3"), queue.ask("b", "2"), queue.ask("a", "1")] == ["waiting", "waiting", "running"]
    assert queue.answer() == "1"
    assert [queue.ask("c", "3"), queue.ask("b", "2")] == ["waiting", "running"]
    assert queue.answer() == "2"
    assert queue.ask("c", "3") == "running"


def test_a_newer_question_drops_the_older_and_goes_to_the_end(queue: Queue) -> None:
    assert [queue.ask("a", "1"), queue.ask("b", "2")] == ["running", "waiting"]
    assert queue.ask("a", "4") == "waiting"
    assert queue.ask("b", "2") == "running"
    assert queue.answer() == "2"
    assert queue.ask("a", "4") == "running"
    assert queue.ask("b", "1") == "waiting"  # what was given up is asked anew


def test_alone_the_newest_is_computed_at_once(queue: Queue) -> None:
    assert [queue.ask("a", "1"), queue.ask("a", "2"), queue.ask("a", "3")] == ["running"] * 3
    assert queue.answer() == "3"
    assert queue.line.first is None


def test_two_that_keep_asking_both_get_their_answers(queue: Queue) -> None:
    answered = []
    for _ in range(3):  # each looks again and again, as tabs do
        queue.ask("a", "1")
        queue.ask("b", "2")
    answered.append(queue.answer())
    queue.ask("b", "2")
    answered.append(queue.answer())
    assert answered == ["1", "2"]


def test_what_two_want_is_not_dropped_by_one(queue: Queue) -> None:
    assert [queue.ask("a", "1"), queue.ask("b", "1"), queue.ask("a", "2")] == ["running", "running", "waiting"]
    assert queue.answer() == "1"
    assert queue.ask("a", "2") == "running"


def test_who_looks_no_more_gives_way_to_others_only(queue: Queue) -> None:
    assert queue.ask("a", "1") == "running"
    queue.now = 100  # a browser wakes hidden tabs rarely
    assert queue.ask("a", "1") == "running"
    assert queue.ask("b", "2") == "waiting"
    queue.now += ABSENT + 0.1
    assert queue.ask("b", "2") == "running"
    assert queue.ask("a", "1") == "waiting"  # back again


def test_what_is_known_of_a_question_stays_while_it_waits(queue: Queue) -> None:
    queue.ask("a", "1")
    first = queue.line.first
    assert isinstance(first, Question)
    first.nodes = 9
    assert queue.line.join(first.asked, "1", "b", 0.0).nodes == 9
    assert first.askers.keys() == {"a", "b"}
