from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from benchmarks import credit_completeness, credit_cost, credit_order, credit_pairs, credit_planted
from benchmarks.credit_digits import cnn, mlp, started
from benchmarks.credit_peers import FOR_CHANGE, FOR_VALUE, deleted, restored
from benchmarks.trainings import Case
from tests.benchmarks.tiny import Tiny
from tests.callbacks.networks import Lstm

TINY = Case("tiny", Tiny, lambda: torch.rand(4, 3))


def test_targets_are_drawn_again_as_they_were() -> None:
    first, second = (credit_completeness.drawn(Lstm, 2) for _ in range(2))
    assert first == second
    assert all(one.gap <= 1 for one in first if one.converged)
    assert "| Lstm | 2 |" in credit_completeness.run(2, [Lstm])


def test_undoing_all_units_of_a_layer_and_none() -> None:
    case = next(credit_order.cases("MLP 64-32-32-10", 1))
    effects = credit_order.alone(case, restored)
    assert effects.shape == (32,)
    assert restored(case, range(32)) != restored(case, ()) == pytest.approx(deleted(case, ()), rel=1e-5)
    assert credit_order.area(case, restored, effects, 1.0) > credit_order.area(case, restored, -effects, 1.0)
    credit = FOR_CHANGE["**change credit**"](case)
    assert credit_order.agreement(credit, effects) > 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's, about its hooks
        assert all(method(case).shape == (32,) for method in (*FOR_CHANGE.values(), *FOR_VALUE.values()))


@pytest.mark.parametrize("cause", [name for name in credit_planted.CAUSES if "variance" not in name])
def test_a_cause_is_planted_and_looked_for(cause: str) -> None:
    planted = credit_planted.CAUSES[cause](0)
    found = credit_planted.looked_at(planted, "own")
    assert (found.layer is None) == (planted.layer == "")
    assert (found.unit is None) == (found.row is None) == (planted.unit is None)
    assert (found.sample is None) == (planted.sample is None)
    assert found.change > 0


def test_the_digits_are_learned() -> None:
    for kind in (mlp, cnn):
        training = started(kind, 0, 0)
        batch = training.next()
        before = float(training.model.loss(batch).detach())
        training.learn(60)
        assert float(training.model.loss(batch).detach()) < before


def test_costs_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit_cost, "CASES", (TINY,))
    assert "| tiny | " in credit_cost.recording(1)
    pair = credit_pairs.pair_of(TINY.model, TINY.batch, 1, 1)
    shown, ratios = credit_cost.nodes({"tiny": pair}, 1)
    assert "| tiny | " in shown
    assert len(ratios) == 2
    assert min(ratios) > 1
    made, seconds, mebibytes = credit_cost.measured(lambda: bytearray(64 << 20))
    assert len(made) == 64 << 20
    assert seconds > 0
    assert np.isnan(mebibytes) or mebibytes > 32


def test_the_large_network_has_eleven_million_parameters() -> None:
    assert 11e6 < sum(part.numel() for part in credit_pairs.ResNet18().parameters()) < 12e6


def test_a_case_is_a_pair_of_snapshots() -> None:
    pair = credit_pairs.pair_of(TINY.model, TINY.batch, 1, 2)
    assert (pair.earlier.tape.step, pair.later.tape.step) == (1, 4)
