"""Replays with something undone: exact where the answer is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.replay.ask import Change, Target
from dgm_tb.replay.counterfactual import replay
from dgm_tb.replay.credit import Step
from dgm_tb.replay.origin import origin
from tests.callbacks.networks import Mlp
from tests.replay.steps import batch_of, network, optimizers_of, recorded, two_steps

PROGRAM = "backward#0"
TARGET = Target("last", PROGRAM, (0,))


class Overflow(nn.Module):
    """A head whose output goes through `exp`, as an unbounded log-variance does."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.variance = nn.Linear(6, 4), nn.Linear(4, 4)
        nn.init.constant_(self.variance.bias, 200.0)

    def loss(self, batch: Any) -> Tensor:
        loss: Tensor = (self.variance(self.body(batch[0])).exp() - 1).mean()
        return loss

    data = staticmethod(Mlp.data)


def overflowing() -> Step:
    module = network(Overflow)
    step, truth = recorded(module, batch_of(Overflow, 1), optimizers_of(module, 0.0))
    assert math.isinf(truth.losses[0])
    return step


def test_nothing_changed_changes_nothing() -> None:
    _, later = two_steps(Mlp)
    outcome = replay(TARGET, [], later)
    assert outcome.target_before == outcome.target_after
    assert outcome.loss_before == outcome.loss_after


def test_all_weights_and_samples_restored_is_the_earlier_step() -> None:
    earlier, later = two_steps(Mlp)
    changes = [Change("restore-weights"), Change("restore-samples")]
    inputs = {key: tensor for key, tensor in earlier.tensors.items() if key.startswith("input.")}
    outcome = replay(TARGET, changes, later, earlier)
    again = replay(TARGET, [], earlier)
    assert len(inputs) == 2
    assert outcome.target_after == again.target_before != outcome.target_before
    assert outcome.loss_after == again.loss_before


def test_one_sample_restored() -> None:
    earlier, later = two_steps(Mlp)
    outcome = replay(
        Target("last", PROGRAM, (0,), samples=(1,)), [Change("restore-samples", units=(0,))], later, earlier
    )
    assert outcome.target_after == outcome.target_before
    assert outcome.loss_after != outcome.loss_before


def test_the_weights_of_one_node() -> None:
    earlier, later = two_steps(Mlp)
    one = replay(TARGET, [Change("restore-weights", "first")], later, earlier)
    every = replay(TARGET, [Change("restore-weights")], later, earlier)
    assert len({one.target_before, one.target_after, every.target_after}) == 3


def test_a_clamped_head_keeps_the_loss_finite() -> None:
    outcome = replay(Target("variance", PROGRAM, (2,)), [Change("clamp", "variance", (), -6, 4)], overflowing())
    assert math.isinf(outcome.loss_before)
    assert outcome.loss_after == pytest.approx(math.exp(4) - 1, rel=1e-6)
    assert (outcome.target_before > 100, outcome.target_after) == (True, 4)


def test_only_the_named_units_are_clamped() -> None:
    outcome = replay(Target("variance", PROGRAM, (2,)), [Change("clamp", "variance", (1,), -6, 4)], overflowing())
    assert outcome.target_after == outcome.target_before


def test_where_it_overflows() -> None:
    found = origin(overflowing(), PROGRAM)
    assert found is not None
    assert (found.op, found.output.nonfinite > 0) == ("exp", True)
    assert found.inputs[0].high > 88
    assert found.inputs[0].nonfinite == 0


def test_the_module_in_which_it_overflows_is_named() -> None:
    class Inside(Overflow):
        class Exp(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x.exp()

        def __init__(self) -> None:
            super().__init__()
            self.exp = Inside.Exp()

        def loss(self, batch: Any) -> Tensor:
            loss: Tensor = self.exp(self.variance(self.body(batch[0]))).mean()
            return loss

    module = network(Inside)
    step, _ = recorded(module, batch_of(Inside, 1), optimizers_of(module, 0.0))
    found = origin(step, PROGRAM)
    assert found is not None
    assert found.module == "exp"
    assert found.site == f"replay/test_counterfactual.py:{Inside.Exp.forward.__code__.co_firstlineno + 1}"


def test_a_weight_that_is_not_finite_is_told_as_such() -> None:
    module = network(Mlp)
    with torch.no_grad():
        module.first.weight[0, 0] = torch.nan  # type: ignore[operator, union-attr]
    step, _ = recorded(module, batch_of(Mlp, 1), optimizers_of(module, 0.0))
    found = origin(step, PROGRAM)
    assert found is not None
    assert (found.op, found.module, found.output.nonfinite) == ("parameter", "first.weight", 1)


def test_a_finite_step_has_no_origin() -> None:
    _, later = two_steps(Mlp)
    assert origin(later, PROGRAM) is None


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (Change("explode"), UsageError, "there is no change 'explode'"),
        (Change("clamp", "last", (), 4, 4), UsageError, "leaves nothing"),
        (Change("clamp", "nowhere", (), 0, 4), UnknownNameError, "not on the tape"),
        (Change("clamp", "last", (99,), 0, 4), UnknownNameError, "no unit 99"),
        (Change("restore-weights", "nowhere"), UnknownNameError, "no weights"),
        (Change("restore-samples", "", (99,)), UnknownNameError, "no sample 99"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change: Change, kind: type[Exception], message: str) -> None:
    earlier, later = two_steps(Mlp)
    with pytest.raises(kind, match=message):
        replay(TARGET, [change], later, earlier)


def test_restoring_needs_something_to_restore_from() -> None:
    _, later = two_steps(Mlp)
    with pytest.raises(UsageError, match="earlier deep snapshot"):
        replay(TARGET, [Change("restore-weights")], later)
