"""Whose values drove an op beyond what a number can hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dgm_tb.replay.driver import Driver
from dgm_tb.replay.origin import origin
from tests.replay.overflows import PROGRAM, Bare, InPlace, Masked, Net, Root, Sampler, step_of
from tests.replay.steps import batch_of, network, optimizers_of, recorded


def driver_of(kind: type[Net], unit: int | None = None, bias: float = 0.0) -> Driver | None:
    found = origin(step_of(kind, unit, bias), PROGRAM)
    assert found is not None
    return found.driver


def test_the_head_before_a_sampler_is_told_not_the_decoder_that_overflows() -> None:
    driver = driver_of(Sampler, 2, 150.0)
    assert driver is not None
    assert (driver.node, driver.units) == ("head", (2,))
    assert driver.shares[0] > 0.95
    assert driver.elasticity == pytest.approx(150, rel=0.05)  # twice half of the log-variance
    assert driver.low is not None
    assert driver.low <= 150 + 5
    assert driver.high == pytest.approx(150, abs=5)


@pytest.mark.parametrize(("kind", "unit"), [(InPlace, 1), (Masked, 3)])
def test_directly_before_the_op_it_is_the_nearest(kind: type[Net], unit: int) -> None:
    driver = driver_of(kind, unit, 100.0)
    assert driver is not None
    assert (driver.node, driver.units[0]) == ("head", unit)


def test_what_only_feeds_it_is_not_told_though_the_op_reacts_to_that_more_strongly() -> None:
    """Of h = Wr + b with b < 0, r has the larger elasticity, (h − b) / h times h's own; the exponential makes h's."""
    module = network(InPlace)
    assert isinstance(module.head, nn.Linear)
    with torch.no_grad():
        module.head.weight[1], module.head.bias[1] = 80.0, -60.0
    step, _ = recorded(module, batch_of(InPlace, 1), optimizers_of(module, 0.0))
    found = origin(step, PROGRAM)
    assert found is not None
    assert found.driver is not None
    assert (found.driver.node, found.driver.units[0]) == ("head", 1)


def test_units_are_told_until_they_make_up_most_of_it() -> None:
    class Wide(InPlace):
        def end(self, h: torch.Tensor) -> torch.Tensor:
            return (h * torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])).sum(1).exp()

    driver = driver_of(Wide, 1, 100.0)
    assert driver is not None
    assert driver.units[0] == 1
    assert sum(driver.shares) >= 0.9
    assert 3 not in driver.units
    assert 4 not in driver.units


def test_what_is_finite_in_no_precision_is_told_by_the_nearest_node_alone() -> None:
    assert driver_of(Root) == Driver("head")


def test_without_a_recorded_node_before_it_there_is_none() -> None:
    assert driver_of(Bare) is None


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory"), MemoryError()])
def test_where_there_is_no_room_for_a_derivative_the_nearest_node_is_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.autograd, "grad", refuse)
    assert driver_of(Sampler, 2, 150.0) == Driver("decoder")
