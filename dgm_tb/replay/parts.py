"""What a target's change or value is made of, and how it travels from the worker; no PyTorch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.replay.ask import Target

Array: TypeAlias = NDArray[np.float64]

#: The fields that map names to arrays; one travels as ``group/name``.
GROUPS: Final = ("units", "maps", "parameters", "buffers", "inputs")
_NUMBERS: Final = ("before", "after", "gap", "noise", "discrete")


@dataclass(frozen=True)
class Credit:
    """The parts of ``after - before``, the target's change.

    ``units``: node → array over its units. ``maps``: node → ``(units, height, width)``, where it has feature maps.
    ``parameters``, ``buffers``: name → array over the first axis. ``inputs``: name → an array as large as the input.
    ``samples``: ``(batch,)``, the part of the change that each batch position shows. ``noise``: what random draws and
    constants add, ``discrete`` what inputs that cannot move gradually do. Parameters, buffers, inputs, noise and
    discrete together miss ``gap`` of the change; units are cuts through the same flow.
    """

    target: Target
    before: float
    after: float
    gap: float
    converged: bool
    nodes: int
    units: Mapping[str, Array] = field(default_factory=dict)
    maps: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)
    buffers: Mapping[str, Array] = field(default_factory=dict)
    inputs: Mapping[str, Array] = field(default_factory=dict)
    samples: Array = field(default_factory=lambda: np.empty(0))
    noise: float = 0.0
    discrete: float = 0.0

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def total(self) -> float:
        """What the parts add up to."""
        groups = (self.parameters, self.buffers, self.inputs)
        return sum(float(part.sum()) for group in groups for part in group.values()) + self.noise + self.discrete


def packed(credit: Credit) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """A credit as what an answer holds: fields for JSON, and arrays."""
    arrays: dict[str, NDArray[np.generic]] = {"samples": credit.samples}
    arrays["numbers"] = np.array([getattr(credit, name) for name in _NUMBERS])
    for group in GROUPS:
        arrays |= {f"{group}/{name}": part for name, part in getattr(credit, group).items()}
    return {"converged": credit.converged, "nodes": credit.nodes}, arrays


def unpacked(target: Target, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> Credit:
    """The credit that `packed` took apart."""
    groups: dict[str, dict[str, Array]] = {group: {} for group in GROUPS}
    for name, part in arrays.items():
        group, _, rest = name.partition("/")
        if rest:
            groups[group][rest] = np.asarray(part, np.float64)
    numbers = dict(zip(_NUMBERS, np.asarray(arrays["numbers"], np.float64).tolist(), strict=True))
    every: dict[str, Any] = {**numbers, **groups, "samples": np.asarray(arrays["samples"], np.float64)}
    return Credit(target, converged=fields["converged"], nodes=fields["nodes"], **every)
