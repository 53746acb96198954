from __future__ import annotations

from dgm_tb.replay.tape import Output, Tape
from lightning_callbacks.recorded import Recorded, Seen


def test_each_output_is_named_as_often_as_it_stands_for_a_node() -> None:
    outputs = tuple(Output("", "", value, 3, 0) for value in (5, 6, 7))
    tape = Tape(0, (), (), ("a", "a", "b"), outputs, (), (), {})
    first, second, unseen = Seen("a", 0, ""), Seen("a", 1, ""), Seen("b", 0, "[1]")
    named = Recorded(tape, (first, second, unseen), {}).named(
        {first: [("a", "backward#0", 1), ("a", "backward#1", 1)], second: [("a#1", "backward#0", 2)]}
    )
    assert named.outputs == (
        Output("a", "backward#0", 5, 3, 1),
        Output("a", "backward#1", 5, 3, 1),
        Output("a#1", "backward#0", 6, 3, 2),
    )
