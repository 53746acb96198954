"""What needs no process group; the rest is `tests/conformance/test_fsdp.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dgm_tb import moments as stored
from lightning_callbacks import moments, sharded, units
from lightning_callbacks.sharded import Held


def test_the_rows_of_two_parts_merge_to_that_of_the_whole() -> None:
    weight = torch.randn(5, 3)
    rows = [
        Held(first, len(part), 5).placed(moments.reduce(part[None], 1, sampled=False)).numpy()
        for first, part in ((0, weight[:3]), (3, weight[3:]))
    ]
    np.testing.assert_allclose(stored.merge(*rows), moments.reduce(weight[None], 1, sampled=False), rtol=1e-6)


def test_units_of_which_nothing_is_held_are_absent() -> None:
    row = Held(4, 0, 2).placed(moments.reduce(torch.zeros(1, 0, 3), 1, sampled=False))
    np.testing.assert_array_equal(row, stored.absent(2))


def test_an_ordinary_model_is_whole() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    modules = dict(net.named_modules())
    weights = units.weights(modules)
    assert sharded.parts(weights, sharded.flat(net), modules) == sharded.Parts(weights, {}, whole=True)


class _Answering(Tensor):
    """A tensor whose operations are code."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise AssertionError("it was asked")


def test_tensors_that_answer_by_code_are_not_asked() -> None:
    odd = Tensor._make_wrapper_subclass(_Answering, (2, 3))
    assert not sharded.readable(odd)
    assert not units.has_units(odd)
    assert sharded.readable(nn.Parameter(torch.zeros(2)))
    assert sharded.local(plain := torch.zeros(2)) is plain
