"""Where values cease to be finite: what reaches the loss, and nothing else."""

from __future__ import annotations

import pytest
import torch

from dgm_tb.replay.credit import Step
from dgm_tb.replay.origin import Origin, origin
from tests.callbacks.networks import Mlp
from tests.replay.overflows import PROGRAM, Buffered, InPlace, Leaking, Masked, Root, Sampler, step_of
from tests.replay.steps import batch_of, network, optimizers_of, recorded, two_steps


def found(step: Step) -> Origin:
    there = origin(step, PROGRAM)
    assert there is not None
    return there


def test_it_is_the_op_whose_inputs_are_finite() -> None:
    there = found(step_of(Sampler, 2, 150.0))
    assert (there.op, there.inputs[0].made_by, there.inputs[0].nonfinite) == ("pow", "addmm", 0)
    assert there.output.nonfinite > 0
    assert found(step_of(Root)).op == "log"


def test_one_in_place_is_seen_as_it_was_before() -> None:
    there = found(step_of(InPlace, 1, 100.0))
    assert there.op == "exp"
    assert there.inputs[0].nonfinite == 0
    assert there.inputs[0].high == pytest.approx(100, abs=5)


def test_what_masks_is_no_origin() -> None:
    assert origin(step_of(Masked), PROGRAM) is None
    assert found(step_of(Masked, 3, 100.0)).op == "exp"


def test_a_mask_among_the_buffers_is_told_only_where_it_is_to_blame() -> None:
    assert origin(step_of(Buffered), PROGRAM) is None
    assert found(step_of(Buffered, 3, 100.0)).op == "exp"
    there = found(step_of(Leaking))
    assert (there.op, there.module, there.driver) == ("buffer", "mask", None)


def test_a_batch_that_is_not_finite_is_told_as_such() -> None:
    module = network(Mlp)
    batch = batch_of(Mlp, 1)
    batch[0][2, 3] = torch.nan
    step, _ = recorded(module, batch, optimizers_of(module, 0.0))
    there = found(step)
    assert (there.op, there.output.nonfinite, there.driver) == ("input", 1, None)


def test_a_finite_loss_has_no_origin() -> None:
    assert origin(two_steps(Mlp)[1], PROGRAM) is None
