"""An integral along a path, its rule, and what it does where few nodes are not enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dgm_tb.replay.ask import Target
from dgm_tb.replay.credit import path_of
from dgm_tb.replay.integral import _Interval, _Places, _rule, integrate
from dgm_tb.replay.path import Path
from dgm_tb.replay.target import look
from tests.callbacks.networks import Lstm, Mlp
from tests.replay.steps import Penalty, two_steps

PROGRAM = "backward#0"


@pytest.mark.parametrize("order", [1, 2, 3, 4, 8, 16, 32])
def test_the_rule_integrates_and_differentiates_polynomials(order: int) -> None:
    nodes, weights, derivative = _rule(order)
    places = np.array([0.0, *nodes, 1.0])
    for power in range(2 * order):
        np.testing.assert_allclose(weights @ np.power(nodes, power), 1 / (power + 1), rtol=1e-12)
    for power in range(order + 2):
        slopes = power * np.power(nodes, max(power - 1, 0))
        np.testing.assert_allclose(np.array(derivative) @ places**power, slopes, rtol=1e-9, atol=1e-10)


def test_more_nodes_in_one_piece_where_something_jumps_and_halves_elsewhere() -> None:
    jumping, smooth = _line(Penalty, "gradient"), _line(Lstm, "loss")
    for (path, ends), pieces in ((jumping, 1), (smooth, 2)):
        places = _Places(path, ends)
        whole = _Interval.over(path, 0.0, 1.0, 2, places)
        assert len(whole.finer(path, places)) == pieces
        assert places.nodes == (6 if pieces == 1 else 8)


def test_what_is_not_kept_of_an_interval_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    path, ends = _line(Mlp, "loss")
    kept = integrate(path, ends, 0.0, lambda nodes: nodes < 40)
    monkeypatch.setattr("dgm_tb.replay.integral._KEPT", 0)
    again = integrate(path, ends, 0.0, lambda nodes: nodes < 40)
    assert kept.nodes == again.nodes
    assert all(torch.equal(part, again.sources[value]) for value, part in kept.sources.items())


def test_a_line_without_movement_has_nothing_to_give() -> None:
    _, later = two_steps(Mlp)
    path, _ = path_of(Target("last", PROGRAM, (0,)), later, later)
    found = integrate(path, (0.5, 0.5), 0.0)
    assert (found.sources, found.gap, found.blur) == ({}, 0.0, 0.0)
    assert not any(part.any() for part in found.cuts.values())


def _line(kind: type[Any], quantity: str) -> tuple[Path, tuple[float, float]]:
    earlier, later = two_steps(kind, between=3)
    node = next(out.node for out in later.tape.outputs if out.program == PROGRAM)
    target = Target(node, PROGRAM, (0,), quantity)
    path, _ = path_of(target, earlier, later, batch="same")
    return path, (look(target, path.machine, path.start).value, look(target, path.machine, path.end).value)
