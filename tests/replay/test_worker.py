"""How long the worker looks along a path; all else of it is seen from the client's side."""

from __future__ import annotations

from io import BytesIO
from itertools import count
from pathlib import Path

import pytest

from dgm_tb.replay import deep, worker
from dgm_tb.replay.ask import CreditAsked, Target
from dgm_tb.replay.credit import Step
from dgm_tb.replay.integral import Progress, within
from dgm_tb.replay.parts import Credit
from dgm_tb.replay.worker import Worker
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Mlp
from tests.replay.steps import two_steps

#: How many nodes an endless path has looked at whenever it asks.
LOOKS = range(3, 600, 6)


def endless(target: Target, earlier: Step, later: Step, *, batch: str, progress: Progress) -> Credit:
    """A path that never converges: it is halved for as long as it may be."""
    nodes = next(nodes for nodes in LOOKS if not progress(nodes))
    return Credit(target, 0.0, 1.0, 0.5, False, nodes)


@pytest.mark.parametrize(
    ("seconds_a_look", "nodes"), [(1.0, next(nodes for nodes in LOOKS if not within(nodes))), (30.0, 9), (100.0, 3)]
)
def test_a_path_that_does_not_converge_ends_in_time_with_what_it_has(
    tmp_path: Path, seconds_a_look: float, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "change_credit", endless)
    for step in two_steps(Mlp):
        Keeper(tmp_path, 1 << 30).keep(step.tape, step.tensors, lasting=True)
    earlier, later = (str(one.path) for one in deep.listing(tmp_path))
    ticks = count()
    made = Worker(BytesIO(), BytesIO(), clock=lambda: next(ticks) * seconds_a_look)
    answer = made._made(1, CreditAsked(Target("last", "backward#0", (1,)), later, earlier))
    assert answer.state == "done"
    assert answer.fields == {"converged": False, "nodes": nodes}
