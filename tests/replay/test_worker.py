"""How long the worker looks for a path's kinks; all else of it is seen from the client's side."""

from __future__ import annotations

from io import BytesIO
from itertools import count
from pathlib import Path

import pytest

from dgm_tb.replay import deep
from dgm_tb.replay.ask import CreditAsked, Target
from dgm_tb.replay.worker import Worker
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Mlp
from tests.replay.steps import two_steps


@pytest.mark.parametrize(("seconds_a_look", "nodes"), [(1.0, 123), (30.0, 9), (100.0, 3)])
def test_a_path_that_does_not_converge_ends_in_time_with_what_it_has(
    tmp_path: Path, seconds_a_look: float, nodes: int
) -> None:
    for step in two_steps(Mlp):
        Keeper(tmp_path, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    earlier, later = (str(one.path) for one in deep.listing(tmp_path))
    ticks = count()
    worker = Worker(BytesIO(), BytesIO(), clock=lambda: next(ticks) * seconds_a_look)
    answer = worker._made(1, CreditAsked(Target("last", "backward#0", (1,)), later, earlier))
    assert answer.state == "done"
    assert answer.fields == {"converged": False, "nodes": nodes}
