"""Ops written out in simpler ones, where causes are asked for: PyTorch's own lack a derivative, or float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from dgm_tb.errors import FormatError


class UnknownOpError(FormatError):
    """The tape needs an op that this installation of PyTorch lacks, or runs differently."""


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, None]:
    """Fused attention written out: the fused op has no forward derivative."""
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.to(query.dtype)
    return torch.ops.aten._scaled_dot_product_attention_math.default(
        query, key, value, attn_mask, 0.0, is_causal, scale=scale
    )[0], None


def _normalised(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm; by running statistics written out, with respect to which PyTorch's own has no derivative."""
    if training or running_mean is None or running_var is None:
        return torch.native_batch_norm(x, weight, bias, None, None, True, momentum, eps)
    shape = [1, -1] + [1] * (x.ndim - 2)
    scale = (running_var + eps).rsqrt()
    factor = scale if weight is None else scale * weight
    shift = -running_mean * factor if bias is None else bias - running_mean * factor
    return x * factor.view(shape) + shift.view(shape), running_mean, scale


def _lstm(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor,
    bias_hidden: Tensor,
    hidden: Tensor,
    cell: Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    *_: object,
) -> tuple[Tensor, Tensor, Tensor, None]:
    """One direction of one LSTM layer over ``x`` (steps, batch, features), written out step by step."""
    if mode != 2 or batch_sizes:
        raise UnknownOpError("a packed sequence or another cell than LSTM in mkldnn_rnn_layer cannot be taken apart")
    gates_of_inputs = torch.nn.functional.linear(x, weight_input, bias_input)
    outputs: list[Tensor] = []
    for step in reversed(range(len(x))) if reverse else range(len(x)):
        gates = gates_of_inputs[step] + torch.nn.functional.linear(hidden, weight_hidden, bias_hidden)
        enter, forget, candidate, leave = gates.chunk(4, -1)
        cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs[::-1] if reverse else outputs), hidden, cell, None


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """A convolution; one matrix product where its patches do not overlap, in float64 up to four times as fast."""
    patch = tuple(weight.shape[2:])
    alone = x.ndim == 4 and groups == 1 and tuple(stride) == patch and not any(padding) and not any(output_padding)
    if not alone or any(gap != 1 for gap in dilation):
        return torch.ops.aten.convolution.default(  # type: ignore[no-any-return]  # torch.ops has no types
            x, weight, bias, stride, padding, dilation, transposed, output_padding, groups
        )
    batch, height, width = len(x), *patch
    if transposed:
        rows, places = x.shape[2:]
        columns = (x.permute(0, 2, 3, 1) @ weight.flatten(1)).view(batch, rows, places, -1, height, width)
        out = columns.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, rows * height, places * width)
    else:
        rows, places = x.shape[2] // height, x.shape[3] // width
        patches = x[:, :, : rows * height, : places * width].reshape(batch, -1, rows, height, places, width)
        out = (patches.permute(0, 2, 4, 1, 3, 5).flatten(3) @ weight.flatten(1).T).permute(0, 3, 1, 2)
    out = out if bias is None else out + bias.view(-1, 1, 1)
    return out.contiguous()


#: What stands for an op where causes are asked for. Running statistics that training mode would update are left as they
# are: nothing of the same step reads them.
SUBSTITUTES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten._scaled_dot_product_flash_attention_for_cpu.default": _attention,
    "aten.mkldnn_rnn_layer.default": _lstm,
    "aten.convolution.default": _convolution,
    # A substitute's result may lie in memory otherwise than the op's did; a view of it then needs a copy.
    "aten.view.default": torch.reshape,
    "aten._unsafe_view.default": torch.reshape,
    "aten.native_batch_norm.default": _normalised,
    "aten._native_batch_norm_legit.default": _normalised,
    "aten.cudnn_batch_norm.default": lambda x, w, b, m, v, training, momentum, eps: (
        *_normalised(x, w, b, m, v, training, momentum, eps), None,
    ),
}  # fmt: skip


def _dropped(args: Sequence[Any], drawn: Sequence[Tensor]) -> list[Tensor | None]:
    """Dropout by the mask that it drew, as its own kernel multiplies."""
    x, probability, mask = args[0], args[1], drawn[1]
    kept = mask.to(x.dtype)
    return [x * kept * (0.0 if probability == 1 else 1 / (1 - probability)), mask]


def _leaked(args: Sequence[Any], drawn: Sequence[Tensor]) -> list[Tensor | None]:
    """A randomised leaky ReLU by the slopes that it drew: 1 where its input is positive."""
    return [args[0] * drawn[-1]]


def _leaked_in_place(args: Sequence[Any], drawn: Sequence[Tensor]) -> list[Tensor | None]:
    return [args[0].mul_(drawn[-1])]


#: Random ops that also compute: from their arguments and what they drew. Of all others what was drawn is the result.
DRAWN: Final[Mapping[str, Callable[[Sequence[Any], Sequence[Tensor]], list[Tensor | None]]]] = {
    "aten.native_dropout.default": _dropped,
    "aten.rrelu_with_noise.default": _leaked,
    "aten.rrelu_with_noise_.default": _leaked_in_place,
}
