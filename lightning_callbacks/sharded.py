"""Parameters that are spread over processes: the part that this one holds, and which units it belongs to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from dgm_tb.moments import STATISTICS
from dgm_tb.records import RowKey

if TYPE_CHECKING:
    from lightning_callbacks.units import Weight

_log = logging.getLogger("lightning_callbacks")

#: What a statistic of a unit is of which nothing was seen (`dgm_tb.moments.absent`); NaN where it is not named here.
ABSENT: Final = {"count": 0.0, "zeros": 0.0, "nonfinite": 0.0, "argmax_sample": -1.0}


@dataclass(frozen=True, slots=True)
class Held:
    """The ``here`` units from ``first`` on, of ``units``, of which this process holds something."""

    first: int
    here: int
    units: int
    whole: bool = False  # all numbers of all units

    def placed(self, row: Tensor) -> Tensor:
        """A row ``(statistics, here)`` as one of all ``units``: the others are absent."""
        nothing = torch.tensor([ABSENT.get(name, torch.nan) for name in STATISTICS], dtype=torch.float32)
        full = nothing.to(row.device, non_blocking=True)[:, None].repeat(1, self.units)
        full[:, self.first : self.first + self.here] = row
        return full


def local(tensor: Tensor) -> Tensor:
    """The numbers that this process holds of a ``DTensor``, as they are, without communication; others unchanged."""
    return tensor.to_local() if _distributed(tensor) else tensor  # type: ignore[attr-defined]


def readable(tensor: Tensor) -> bool:
    """Whether the tensor's numbers are its own: not those of a subclass that answers every operation by code.

    Asking such a one (``DTensor``, quantized and nested tensors) may communicate between processes, or fail.
    """
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


@dataclass(frozen=True, slots=True)
class Flat:
    """The ids of the parameters that FSDP1 made flat; ``whole``: this process holds all of all."""

    ids: frozenset[int]
    whole: bool


def flat(root: nn.Module) -> Flat:
    """What FSDP1 made flat in ``root``. A parameter that it leaves in its own shape is not, but a part of it is."""
    ids: set[int] = set()
    whole = True
    for module in root.modules():
        handle: Any = getattr(module, "_handle", None)
        parameter = getattr(handle, "flat_param", None)
        if parameter is None:
            continue
        ids.add(id(parameter))
        if handle.uses_sharded_strategy:
            ids.update(id(part) for part in parameter._params or ())
            whole = False
    return Flat(frozenset(ids), whole)


@dataclass(frozen=True, slots=True)
class Parts:
    """What this process has of a model's weights; ``whole``: all of every one.

    ``held``: node -> the units of which it holds a part.
    """

    weights: tuple[Weight, ...]
    held: Mapping[str, Held]
    whole: bool


def parts(weights: Iterable[Weight], flat: Flat, modules: Mapping[str, nn.Module]) -> Parts:
    """The weights whose units are known on this process, and which units these are; ``modules`` own them.

    Each process records its part; the reader merges them unit by unit, so that together they are the whole weight. Left
    out, and said, are FSDP1's flat parameters, of which a process holds a run of numbers that begins and ends anywhere,
    and slices through the gates of a recurrent or attention weight.
    """
    found: list[Weight] = []
    nodes: dict[str, Held] = {}
    cut = [path for path, module in modules.items() if any(id(p) in flat.ids for p in module._parameters.values())]
    odd: list[str] = []
    whole = flat.whole
    for weight in weights:
        if readable(weight.parameter):
            found.append(weight)
        elif (held := _held(weight)) is None or nodes.setdefault(weight.node, held) != held:
            odd.append(weight.node)
            whole = False
        else:
            found.append(weight)
            whole = whole and held.whole
    _tell(cut, "FSDP1 keeps them in flat parameters; fully_shard (FSDP2) leaves them their shape")
    _tell(odd, "this process holds a part of them that is no whole units")
    return Parts(tuple(found), nodes, whole)


def _tell(paths: list[str], why: str) -> None:
    if paths:
        names = list(dict.fromkeys(paths))
        some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        _log.warning("DGM: the weights of %s are left out, their activations are not: %s", some, why)


def placed(rows: Iterable[tuple[RowKey, Tensor]], held: Mapping[str, Held]) -> Iterator[tuple[RowKey, Tensor]]:
    """The rows of weights, those of parts as rows of all units."""
    for key, row in rows:
        yield key, held[key.node].placed(row) if key.node in held else row


def _held(weight: Weight) -> Held | None:
    """The units that a ``DTensor``'s local part belongs to; None where they cannot be told."""
    if not _distributed(weight.parameter):
        return None
    parameter: Any = weight.parameter
    shape, rule = tuple(parameter.shape), weight.rule
    # A shard of a shard (FSDP2 over tensor parallelism) is strided: its rows do not follow each other.
    if any(type(placement).__name__ not in ("Shard", "Replicate") for placement in parameter.placements):
        return None
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    here, first = compute_local_shape_and_global_offset(shape, parameter.device_mesh, parameter.placements)
    if not shape or tuple(here) == shape:
        return Held(0, weight.units, weight.units, whole=True)
    if len(here) != len(shape) or rule.gates > 1 or rule.groups > 1:
        return None
    axis = rule.axis % len(shape)
    return Held(first[axis], here[axis], shape[axis])


def _distributed(tensor: Tensor) -> bool:
    # Importing it takes most of a second; who has one has imported it.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
