"""A target's gradient integrated along a path: what each source and each unit contributed to the target's change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Final, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from dgm_tb.replay.kinks import Averaged
from dgm_tb.replay.path import Gradients, Pair, Path, Place

Key = TypeVar("Key", int, tuple[int, int])

#: Gauss–Legendre nodes of an interval, and the intervals to begin with. What is smooth is seldom asked for a second
#: interval. Kinks are straightened within an interval (`kinks`): the more there are, the nearer each part comes to its
#: own integral, as 1 / intervals² or, where the target is a gradient and jumps, as 1 / intervals; and the more nodes
#: one has, the smaller is the gap that they all leave.
SMOOTH: Final = (3, 1)
KINKED: Final = (4, 3)
JUMPING: Final = (2, 6)
#: Nodes that are always allowed; beyond them the caller is asked.
MOST_NODES: Final = 128
#: Told how many nodes were spent; whether more may be.
Progress: TypeAlias = Callable[[int], bool]
#: Bytes of what is known of the ends of intervals; what does not fit is computed again.
_KEPT: Final = 1 << 28
#: By how much twice the nodes must lessen an interval's gap to be better than halves.
_HELPS: Final = 4


@dataclass(frozen=True)
class Integral:
    """``sources`` and ``cuts``: credit of every element, as large as its tensor.

    ``gap`` is what the sum over all sources misses of the target's change, ``nodes`` how many places were looked at,
    ``rounded`` how much of the gap rounding may be, ``blur`` the most that rounding may be of a cut's movement.
    """

    sources: Mapping[int, Tensor]
    cuts: Mapping[Pair, Tensor]
    gap: float
    nodes: int
    rounded: float
    blur: float


def within(nodes: int) -> bool:
    """As many nodes as are always allowed."""
    return nodes < MOST_NODES


def integrate(path: Path, ends: tuple[float, float], tolerance: float, progress: Progress = within) -> Integral:
    """∫ ∂F/∂x · dx/dτ dτ over the line, for every moving source and every cut.

    Layer conductance (Dhamdhere, Sundararajan, Yan 2018) along a path of parameters, buffers and inputs. ``ends``: the
    target's values there; its own values at the ends of an interval tell its exact error. The worst interval is refined
    until together they miss less than ``tolerance``, as a sum and as the root of their squares, so that errors that
    cancel do not end it; or no more than rounding may be.
    """
    places = _Places(path, ends)
    order, count = SMOOTH if not path.kinked else JUMPING if path.differentiates else KINKED
    intervals = [_Interval.over(path, part / count, (part + 1) / count, order, places) for part in range(count)]
    rounded = sum(part.rounded for part in intervals)
    # A gap that is not a number is not below anything.
    while not _missed(intervals) <= max(tolerance, rounded) and progress(places.nodes):
        worst = max(intervals, key=lambda part: abs(part.gap))
        intervals.remove(worst)
        intervals += worst.finer(path, places)
    sources = _summed([part.sources for part in intervals])
    return Integral(
        sources,
        _summed([part.cuts for part in intervals]),
        abs(ends[1] - ends[0] - sum(float(credit.sum()) for credit in sources.values())),
        places.nodes,
        rounded,
        places.blur,
    )


def _missed(intervals: Sequence[_Interval]) -> float:
    gaps = [part.gap for part in intervals]
    return max(abs(sum(gaps)), math.hypot(*gaps))


@dataclass
class _Places:
    """What is known of the ends of intervals; the target's values at both ends of the line may be better known."""

    path: Path
    ends: tuple[float, float]
    nodes: int = 0  # looked at between ends
    _known: dict[float, Place] = field(default_factory=dict)

    def at(self, position: float) -> Place:
        if position not in self._known:
            place = self.path.look(position)
            if position in (0.0, 1.0):
                place = replace(place, value=self.ends[int(position)])
            self._known[position] = place
            while len(self._known) > 2 and sum(one.bytes for one in self._known.values()) > _KEPT:
                self._known.pop(next(iter(self._known)))
        return self._known[position]

    @cached_property
    def blur(self) -> float:
        """Rounding of values beside how far they move, at the cut where it is worst."""
        begin, end = self.at(0.0).cuts, self.at(1.0).cuts
        blurs = [
            torch.finfo(value.dtype).eps * float(value.norm() / (value - begin[cut]).norm())
            for cut, value in end.items()
            if value.is_floating_point() and not torch.equal(value, begin[cut])
        ]
        return max(blurs, default=0.0)


@dataclass(frozen=True)
class _Interval:
    low: float
    high: float
    order: int
    sources: Mapping[int, Tensor]
    cuts: Mapping[Pair, Tensor]
    gap: float
    rounded: float

    def finer(self, path: Path, places: _Places) -> list[_Interval]:
        """More nodes where they help – halves would leave a jump whole in one of them –, else halves."""
        if path.kinked:
            denser = _Interval.over(path, self.low, self.high, 2 * self.order, places)
            if abs(denser.gap) < abs(self.gap) / _HELPS:
                return [denser]
        middle, order = (self.low + self.high) / 2, (KINKED if path.kinked else SMOOTH)[0]
        halves = (self.low, middle), (middle, self.high)
        return [_Interval.over(path, low, high, order, places) for low, high in halves]

    @classmethod
    def over(cls, path: Path, low: float, high: float, order: int, places: _Places) -> _Interval:
        begin, end = places.at(low), places.at(high)
        kinks = Averaged(begin.inputs, end.inputs) if path.kinked else None
        sources = {value: torch.zeros_like(step) for value, step in path.steps.items()}
        looked: list[Gradients] = []
        for node, weight in zip(*_rule(order)[:2], strict=True):
            found = path.gradients(low + (high - low) * node, kinks)
            for value, gradient in found.sources.items():
                if gradient is not None:
                    sources[value].addcmul_(gradient, path.steps[value], value=(high - low) * weight)
            looked.append(replace(found, sources={}))
        places.nodes += order
        cuts = {cut: _conductance(cut, looked, begin, end, order) for cut in path.cuts}
        gap = end.value - begin.value - sum(float(credit.sum()) for credit in sources.values())
        size = abs(begin.value) + abs(end.value) + sum(float(credit.norm(1)) for credit in sources.values())
        return cls(low, high, order, sources, cuts, gap, size * path.machine.epsilon)


@lru_cache(maxsize=8)
def _rule(order: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Gauss–Legendre nodes and weights on [0, 1], and what makes the derivative at each of them from a function's
    values at 0, the nodes and 1: that of the polynomial through these (Berrut, Trefethen 2004, *Barycentric Lagrange
    interpolation*, eq. 9.4).
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    places = np.concatenate([[0.0], (nodes + 1) / 2, [1.0]])
    apart = places[:, None] - places + np.eye(len(places))
    barycentric = 1 / apart.prod(1)
    derivative = barycentric / barycentric[:, None] / apart
    np.fill_diagonal(derivative, 0.0)
    np.fill_diagonal(derivative, -derivative.sum(1))
    return tuple(places[1:-1]), tuple(weights / 2), tuple(map(tuple, derivative[1:-1]))


def _conductance(cut: Pair, looked: Sequence[Gradients], begin: Place, end: Place, order: int) -> Tensor:
    """∫ ∂F/∂a · da/dτ dτ over one interval."""
    values = [begin.cuts[cut], *(one.values[cut] for one in looked), end.cuts[cut]]
    total = torch.zeros_like(values[0])
    _, weights, derivative = _rule(order)
    for one, weight, row in zip(looked, weights, derivative, strict=True):
        gradient = one.cuts[cut]
        if gradient is not None:
            rate = values[0] * row[0]
            for value, share in zip(values[1:], row[1:], strict=True):
                rate.add_(value, alpha=share)
            total.addcmul_(gradient, rate, value=weight)
    return total


def _summed(parts: Sequence[Mapping[Key, Tensor]]) -> dict[Key, Tensor]:
    """In float64, so that the sum of it all is that of the parts."""
    total: dict[Key, Tensor] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total[key].add_(value) if key in total else value.double()
    return total
