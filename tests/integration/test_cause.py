"""From the demo's failure to its cause: who did it, which images trigger it, and that without it the loss is finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

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


@pytest.fixture(scope="module")
def driver(run: RunView, failing: int) -> Any:
    """What the tool says drove the step's values beyond what a number can hold."""
    found = run.origin(failing)
    assert found is not None
    assert found["inputs"][0]["nonfinite"] == 0
    assert found["site"].startswith("lightning_callbacks/demo_model.py:")
    return found["driver"]


def test_the_tool_names_the_head_and_units_that_jump(run: RunView, failing: int, driver: Any) -> None:
    assert driver["node"] == HEAD
    assert driver["elasticity"] > 50  # a sampler's decoder is linear; what is exponentiated before it is not
    assert driver["high"] > 60  # so far that the square of its exponential is near overflow
    before, after = run.series(HEAD, "activation", steps=[failing - 1, failing])
    jumped = np.argsort(-np.abs(after - before))
    assert set(driver["units"]) <= set(jumped[: len(jumped) // 20].tolist())


def test_the_steps_of_the_failure_are_deep(run: RunView, failing: int) -> None:
    assert {failing - 1, failing} <= set(run.deep_steps)


def test_the_jump_is_credited_to_the_units_and_weights_before_it(run: RunView, failing: int, driver: Any) -> None:
    credit = run.credit(node=driver["node"], units=driver["units"], step=failing, previous=failing - 1)
    assert credit.converged
    assert credit.total == pytest.approx(credit.change, abs=2e-3 * abs(credit.change))
    assert set(np.flatnonzero(credit.units[driver["node"]])) == set(driver["units"])
    whole = {name: abs(float(part.sum())) for name, part in credit.parameters.items()}
    assert max(whole, key=whole.__getitem__).startswith("encoder.")
    assert not any(name.startswith("decoder.") for name in whole if whole[name] > 0)


def test_flat_patches_trigger_it(run: RunView, failing: int, driver: Any) -> None:
    credit = run.credit(node=driver["node"], units=driver["units"], step=failing, previous=failing - 1)
    images = sample.answer(run._run, sample.Request("", failing)).values
    flatness = np.argsort(np.argsort(images.std(axis=(1, 2, 3))))  # 0: the flattest of the batch
    top = np.argsort(-np.abs(credit.samples))[:6]
    assert np.median(flatness[top]) < len(images) / 3  # by chance: a half


def test_with_the_head_clamped_the_step_has_a_finite_loss(run: RunView, failing: int, driver: Any) -> None:
    outcome = run.replay(
        failing, [Change("clamp", driver["node"], (), *CLAMP)], node=driver["node"], units=driver["units"]
    )
    assert np.isinf(outcome["loss_before"])
    assert np.isfinite(outcome["loss_after"])
    innocent = run.replay(failing, [Change("clamp", "encoder.mean2", (), *CLAMP)], node=HEAD)
    assert np.isinf(innocent["loss_after"])
