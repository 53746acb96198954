"""Which axis of a tensor counts a module's units: of its outputs and of its weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_callbacks import moments, sharded

#: Module type -> the axis of its (first) output that counts units; the most derived type in the table decides.
#: Convolution and pooling count from the end, since they also take inputs without a batch.
OUTPUT_AXES: Final[dict[type[nn.Module], int]] = {
    nn.Linear: -1,
    nn.Bilinear: -1,
    nn.Flatten: -1,
    nn.Conv1d: -2,
    nn.Conv2d: -3,
    nn.Conv3d: -4,
    nn.ConvTranspose1d: -2,
    nn.ConvTranspose2d: -3,
    nn.ConvTranspose3d: -4,
    nn.MaxPool1d: -2,
    nn.MaxPool2d: -3,
    nn.MaxPool3d: -4,
    nn.AvgPool1d: -2,
    nn.AvgPool2d: -3,
    nn.AvgPool3d: -4,
    nn.AdaptiveAvgPool1d: -2,
    nn.AdaptiveAvgPool2d: -3,
    nn.AdaptiveAvgPool3d: -4,
    nn.AdaptiveMaxPool1d: -2,
    nn.AdaptiveMaxPool2d: -3,
    nn.AdaptiveMaxPool3d: -4,
    nn.BatchNorm1d: 1,
    nn.BatchNorm2d: 1,
    nn.BatchNorm3d: 1,
    nn.SyncBatchNorm: 1,
    nn.GroupNorm: 1,
    nn.InstanceNorm1d: -2,
    nn.InstanceNorm2d: -3,
    nn.InstanceNorm3d: -4,
    nn.PixelShuffle: -3,
    nn.PixelUnshuffle: -3,
    nn.Upsample: 1,
    nn.Embedding: -1,
    nn.EmbeddingBag: -1,
    nn.LayerNorm: -1,
    nn.RMSNorm: -1,
    nn.RNN: -1,
    nn.LSTM: -1,
    nn.GRU: -1,
    nn.RNNCell: -1,
    nn.LSTMCell: -1,
    nn.GRUCell: -1,
    nn.MultiheadAttention: -1,
}

#: Modules whose further outputs (states, attention weights) are not units of theirs.
FIRST_OUTPUT_ONLY: Final = (nn.RNNBase, nn.LSTMCell, nn.MultiheadAttention)

#: Modules that are one node although they have children.
WHOLE: Final = (nn.MultiheadAttention,)


def leaf(module: nn.Module) -> bool:
    """Whether a module is a node of its own: it has no children (parametrizations do not count), or is `WHOLE`."""
    return isinstance(module, WHOLE) or all(name == "parametrizations" for name, _ in module.named_children())


def output_axis(module: nn.Module) -> int | None:
    """The unit axis by the table; None for a type that is not in it (element-wise modules, the user's own)."""
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return -len(module.normalized_shape)  # over [C, H, W] the unit is the channel
    return next((OUTPUT_AXES[kind] for kind in type(module).__mro__ if kind in OUTPUT_AXES), None)


def tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a nested output with its path: "" for a bare tensor, ``[0]``, ``[logits]``, ``[0][mean]`` …

    Walks tuples, lists, mappings and dataclasses.
    """
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors(item, f"{path}[{key}]")
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from tensors(item, f"{path}[{index}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name), f"{path}[{field.name}]")


def has_units(tensor: Tensor) -> bool:
    """Whether it holds numbers of units that can be read; not so sparse, complex, nested and meta tensors."""
    dense = tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta
    return dense and tensor.is_floating_point() and tensor.ndim > 0 and sharded.readable(tensor)


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Its shape; empty for a nested tensor, whose samples have several."""
    return () if tensor.is_nested or is_lazy(tensor) else tuple(tensor.shape)


@dataclass(frozen=True, slots=True)
class WeightRule:
    """How a parameter's numbers belong to units: ``view`` turns it to ``(outer, units, inner)``."""

    gates: int = 1  # units of so many gates lie behind one another on dimension 0
    axis: int = 0
    groups: int = 1  # ConvTranspose: dimension 0 holds the inputs of so many groups

    def cube(self, weight: Tensor) -> Tensor:
        weight = sharded.local(weight)
        if weight.layout is not torch.strided:
            weight = weight.to_dense()  # gradient of Embedding(sparse=True)
        if weight.ndim == 2 and self.axis == 0 and self.gates == 1:  # most are: no shape to be sliced
            return weight.unsqueeze(0)
        if weight.ndim == 0:
            return weight.reshape(1, 1, 1)
        axis = self.axis % weight.ndim
        if self.groups > 1:
            inputs, outputs, *kernel = weight.shape
            apart = weight.reshape(self.groups, inputs // self.groups, outputs, -1)
            return apart.transpose(0, 1).reshape(inputs // self.groups, self.groups * outputs, math.prod(kernel))
        if axis == 0:
            return weight.reshape(self.gates, weight.shape[0] // self.gates, math.prod(weight.shape[1:]))
        return weight.reshape(math.prod(weight.shape[:axis]), weight.shape[axis], math.prod(weight.shape[axis + 1 :]))

    def reduce(self, weight: Tensor) -> Tensor:
        """The moments ``(statistics, units)`` of a detached weight, its gradient or its change."""
        return moments.reduce(self.cube(weight), 1, sampled=False)

    def units(self, weight: Tensor) -> int:
        return int(self.cube(torch.empty(weight.shape, device="meta")).shape[1])


@dataclass(frozen=True, slots=True)
class Weight:
    """One parameter that counts as a unit's incoming weights, and the node under whose name it is recorded."""

    node: str
    module: str  # path of the module that owns it
    parameter: nn.Parameter
    rule: WeightRule
    units: int


_GATES: Final[dict[str, int]] = {"LSTM": 4, "GRU": 3}


def _rule(module: nn.Module, name: str, parameter: Tensor) -> WeightRule:
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return WeightRule(axis=1, groups=module.groups)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return WeightRule(axis=-1)
    if isinstance(module, nn.RNNBase):
        return WeightRule() if "_hr_" in name else WeightRule(gates=_GATES.get(module.mode, 1))
    if isinstance(module, nn.LSTMCell | nn.GRUCell):
        return WeightRule(gates=4 if isinstance(module, nn.LSTMCell) else 3)
    if isinstance(module, nn.MultiheadAttention) and name == "in_proj_weight":
        return WeightRule(gates=3)
    if parameter.ndim >= 3 and parameter.shape[0] == 1 and output_axis(module) is None:
        return WeightRule(axis=-1)  # a position embedding or token of the user's own: [1, positions, features]
    return WeightRule()


def weights(modules: Mapping[str, nn.Module], besides: Collection[int] = ()) -> tuple[Weight, ...]:
    """The weight-like parameters of ``modules`` (path -> module), each once, under the first module that owns it.

    A module's matrices and kernels; where it has none (norms), its parameters called weight; else all. Those with
    another number of units than the module's largest group, and those of a module with children, are recorded under
    ``<module>.<parameter>``. ``besides``: ids of parameters that are left out.
    """
    found: list[Weight] = []
    seen: set[int] = set(besides)
    for path, module in modules.items():
        new = ((name, p) for name, p in _parameters(module) if id(p) not in seen and not is_lazy(p))
        owned = [(name, p) for name, p in new if p.is_floating_point()]
        seen.update(id(p) for _, p in owned)
        chosen = (
            [(n, p) for n, p in owned if p.ndim > 1 and not n.startswith("bias")]
            or [(n, p) for n, p in owned if "weight" in n]
            or owned
        )
        ruled = [(n, p, rule := _rule(module, n, p), rule.units(p)) for n, p in chosen]
        sizes: dict[int, int] = {}
        for _, p, _, count in ruled:
            sizes[count] = sizes.get(count, 0) + p.numel()
        # Not the name of a module with children: it is a group's.
        main = max(sizes, key=lambda count: sizes[count], default=0) if leaf(module) else None
        found += [
            Weight(path if count == main else f"{path}.{n}", path, p, rule, count)
            for n, p, rule, count in ruled
            if p.numel()
        ]
    return tuple(found)


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    yield from module.named_parameters(recurse=False)
    parametrizations = dict(module.named_children()).get("parametrizations")
    if parametrizations is not None:  # what is trained are the originals; the computed weight must not be touched
        yield from parametrizations.named_parameters()
