from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_callbacks import keeping, units
from lightning_callbacks.keeping import Kept
from lightning_callbacks.units import Weight
from tests.callbacks.oracles import slow_moments


def _weight(net: nn.Module) -> Weight:
    return units.weights({"net": net})[0]


def _check(row: Tensor | None, expected: Tensor, axis: int = 0) -> None:
    assert row is not None
    np.testing.assert_allclose(row.numpy(), slow_moments(expected.detach(), axis, False), rtol=1e-4, atol=1e-7)


def _round(weight: Weight, kept: Kept, axis: int = 0) -> None:
    """Keeps, adds what differs from number to number, and checks both rows."""
    before = weight.parameter.detach().clone()
    _check(kept.keep(weight, read=True), before, axis)
    with torch.no_grad():
        weight.parameter.add_(torch.randn_like(weight.parameter))
    _check(kept.change(weight), weight.parameter.detach() - before, axis)


@pytest.mark.parametrize(
    ("net", "axis"),
    [
        (nn.Linear(300, 7), 0),
        (nn.Conv2d(3, 5, 3), 0),
        (nn.ConvTranspose2d(4, 5, 3), 1),
        (nn.Embedding(6, 3), 1),
        (nn.LayerNorm(9), 0),
        (nn.Linear(3, 2, dtype=torch.float64), 0),
        (nn.Linear(3, 2, dtype=torch.bfloat16), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_weight_and_its_change_again_and_again(net: nn.Module, axis: int) -> None:
    weight = _weight(net)
    kept = keeping.room(weight, None)
    for _ in range(3):
        if weight.parameter.dtype is torch.bfloat16:  # rounded: the copy is checked, not the statistics' digits
            kept.keep(weight, read=True)
            torch.testing.assert_close(kept.copy[0], weight.parameter.detach())
        else:
            _round(weight, kept, axis)
        again = keeping.room(weight, kept)
        assert again.copy is kept.copy
        kept = again


def test_what_lies_where_it_lay_is_not_looked_at_again() -> None:
    weight = _weight(nn.Linear(300, 7))
    kept = keeping.room(weight, None)
    assert kept.arrays is not None
    assert keeping.room(weight, kept) is kept


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("kind", ["elsewhere", "turned"])
def test_a_weight_that_was_put_elsewhere_is_read_there(when: str, kind: str) -> None:
    weight = _weight(nn.Linear(5, 5))
    kept = keeping.room(weight, None)
    _round(weight, kept)
    before = weight.parameter.detach().clone()
    if when == "within":
        kept.keep(weight, read=True)
    weight.parameter.data = weight.parameter.data.T if kind == "turned" else torch.randn(5, 5)
    if when == "before":
        _round(weight, keeping.room(weight, kept))
    else:
        _check(kept.change(weight), weight.parameter.detach() - before)


def test_a_weight_of_another_size_gets_other_room() -> None:
    net = nn.Linear(5, 5)
    weight = _weight(net)
    kept = keeping.room(weight, None)
    net.weight.data = torch.randn(5, 6)
    assert keeping.room(weight, kept).copy.shape == (1, 5, 6)


def test_it_is_copied_where_its_row_is_not_wanted() -> None:
    weight = _weight(nn.Linear(5, 5))
    kept = keeping.room(weight, None)
    assert kept.keep(weight, read=False) is None
    torch.testing.assert_close(kept.copy[0], weight.parameter.detach())
