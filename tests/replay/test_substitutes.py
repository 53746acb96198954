"""What stands for an op computes what the op does, its derivatives too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dgm_tb.replay.substitutes import DRAWN, SUBSTITUTES, UnknownOpError

aten = torch.ops.aten


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


CONVOLUTIONS: dict[str, tuple[Any, ...]] = {
    "patches": (double(3, 4, 9, 10), double(5, 4, 4, 2), double(5), [4, 2], [0, 0], [1, 1], False, [0, 0], 1),
    "patches apart": (double(3, 4, 2, 3), double(4, 5, 4, 2), double(5), [4, 2], [0, 0], [1, 1], True, [0, 0], 1),
    "one by one": (double(3, 4, 2, 3), double(5, 4, 1, 1), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
    "overlapping": (double(3, 4, 6, 6), double(5, 4, 3, 3), double(5), [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
    "padded patches": (double(2, 4, 6, 6), double(5, 4, 2, 2), None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1),
    "in groups": (double(2, 4, 6, 6), double(4, 1, 2, 2), None, [2, 2], [0, 0], [1, 1], False, [0, 0], 4),
    "with gaps": (double(2, 4, 6, 6), double(5, 4, 2, 2), None, [2, 2], [0, 0], [2, 2], False, [0, 0], 1),
    "a wider output": (double(2, 4, 3, 3), double(4, 5, 2, 2), None, [2, 2], [0, 0], [1, 1], True, [1, 1], 1),
    "along a line": (double(2, 4, 6), double(5, 4, 2), None, [2], [0], [1], False, [0], 1),
}


@pytest.mark.parametrize("arguments", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution(arguments: tuple[Any, ...]) -> None:
    _agree("aten.convolution.default", aten.convolution.default, arguments)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5), (3, 4, 2, 5)], ids=str)
def test_batch_norm(shape: tuple[int, ...], training: bool) -> None:
    statistics = double(4), double(4).abs() + 0.5
    arguments = (double(*shape) + 3, double(4) + 1, double(4), *statistics, training, 0.1, 1e-5)
    _agree("aten.native_batch_norm.default", aten.native_batch_norm.default, arguments)


def _agree(name: str, op: Any, arguments: tuple[Any, ...]) -> None:
    results = []
    for made_by in (op, SUBSTITUTES[name]):
        live = [
            part.clone().requires_grad_(index < 3) if isinstance(part, Tensor) else part
            for index, part in enumerate(arguments)
        ]
        out = made_by(*live)
        out = out if isinstance(out, Tensor) else out[0]
        gradients = torch.autograd.grad((out**2).sum(), [part for part in live[:3] if isinstance(part, Tensor)])
        results.append((out, *gradients))
    for real, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, real, rtol=1e-10, atol=1e-10)


def test_a_packed_recurrent_layer_cannot_be_taken_apart() -> None:
    with pytest.raises(UnknownOpError, match="packed sequence"):
        SUBSTITUTES["aten.mkldnn_rnn_layer.default"](*[double(1)] * 7, False, [3, 2], 2)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_dropout_by_its_mask_has_its_bits(probability: float) -> None:
    x = torch.randn(40)
    out, mask = torch.native_dropout(x, probability, True)
    again = DRAWN["aten.native_dropout.default"]([x, probability, True], [out, mask])
    assert again[0] is not None
    assert torch.equal(again[0], out)
