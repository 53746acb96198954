"""From the demo's failure to its cause: who did it, which images trigger it, and that without it the loss is finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest

import dgm_tb
from dgm_tb.queries import sample
from dgm_tb.replay.ask import Change
from dgm_tb.run import RunView
from lightning_callbacks.demo_model import CLAMP
from tests.conftest import Demo

HEAD: Final = "encoder.variance2"


@pytest.fixture(scope="module")
def run(demo: Demo) -> Iterator[RunView]:
    with dgm_tb.open_run(demo.logdir / "unclamped") as opened:
        yield opened


@pytest.fixture(scope="module")
def failing(run: RunView) -> int:
    """The first step whose loss is not finite."""
    loss = run.losses.values[run.losses.columns.index("loss")]
    return int(run.losses.steps[np.flatnonzero(~np.isfinite(loss))[0]])


def jumping(run: RunView, step: int) -> list[int]:
    """The three units of the head that moved most into ``step``."""
    before, after = run.series(HEAD, "activation", steps=[step - 1, step])
    return [int(unit) for unit in np.argsort(-np.abs(after - before))[:3]]


def test_the_steps_of_the_failure_are_deep(run: RunView, failing: int) -> None:
    assert {failing - 1, failing} <= set(run.deep_steps)


def test_the_jump_is_credited_to_the_units_and_weights_before_it(run: RunView, failing: int) -> None:
    credit = run.credit(node=HEAD, units=jumping(run, failing), step=failing, previous=failing - 1)
    assert credit.converged
    assert credit.total == pytest.approx(credit.change, abs=2e-3 * abs(credit.change))
    assert set(np.flatnonzero(credit.units[HEAD])) == set(jumping(run, failing))
    whole = {name: abs(float(part.sum())) for name, part in credit.parameters.items()}
    assert max(whole, key=whole.__getitem__).startswith("encoder.")
    assert not any(name.startswith("decoder.") for name in whole if whole[name] > 0)


def test_flat_patches_trigger_it(run: RunView, failing: int) -> None:
    credit = run.credit(node=HEAD, units=jumping(run, failing), step=failing, previous=failing - 1)
    images = sample.answer(run._run, sample.Request("", failing)).values
    flatness = np.argsort(np.argsort(images.std(axis=(1, 2, 3))))  # 0: the flattest of the batch
    top = np.argsort(-np.abs(credit.samples))[:6]
    assert np.median(flatness[top]) < len(images) / 3  # by chance: a half


def test_with_the_head_clamped_the_step_has_a_finite_loss(run: RunView, failing: int) -> None:
    outcome = run.replay(failing, [Change("clamp", HEAD, (), *CLAMP)], node=HEAD, units=jumping(run, failing))
    assert np.isinf(outcome["loss_before"])
    assert np.isfinite(outcome["loss_after"])
    innocent = run.replay(failing, [Change("clamp", "encoder.mean2", (), *CLAMP)], node=HEAD)
    assert np.isinf(innocent["loss_after"])
