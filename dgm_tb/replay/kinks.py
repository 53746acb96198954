"""Ops whose derivative jumps: differentiated by its average over an interval of a path, not by its value somewhere.

Between two places of a path ReLUs switch and maxima move. A quadrature that reads f' at single places meets a switch by
chance only, and of a target that is itself a gradient it never sees the jump. Where x goes straight from x₀ to x₁, the
average of f'(x) is (f(x₁) − f(x₀)) / (x₁ − x₀), and a jump of f' belongs to the x that went over the kink:
(f'(x₁) − f'(x₀)) / (x₁ − x₀). The first is the rescale rule of DeepLIFT (Shrikumar, Greenside, Kundaje 2017), here
between neighbouring places of a path instead of between an input and a reference; both are exact as intervals shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias, cast

import torch
from torch import Tensor

#: What an op was given, its tensors detached.
Inputs: TypeAlias = tuple[Any, ...]
Run: TypeAlias = Callable[..., Any]
#: A function of one tensor, of each element apart.
Curve: TypeAlias = Callable[[Tensor], Tensor]

#: A move of fewer times the rounding of the numbers themselves tells nothing of a slope.
_STILL: Final = 1e3


class Kinks(Protocol):
    """What a run does at the ops of `KINKED`."""

    def call(self, at: int, name: str, run: Run, args: Sequence[Any]) -> Any:
        """The result of the op at a position of the tape; ``run`` is the op itself."""


@dataclass
class Noted:
    """Runs the ops as they are and keeps what they were given, by position."""

    inputs: dict[int, Inputs] = field(default_factory=dict)

    def call(self, at: int, name: str, run: Run, args: Sequence[Any]) -> Any:
        # Whole numbers do not move. Copies, since a later op may write into an argument.
        if all(one.is_floating_point() for one in args if isinstance(one, Tensor)):
            self.inputs[at] = tuple(one.detach().clone() if isinstance(one, Tensor) else one for one in args)
        return run(*args)


@dataclass
class Averaged:
    """Runs the ops with derivatives averaged between what they were given at the two ends of an interval."""

    low: Mapping[int, Inputs]
    high: Mapping[int, Inputs]
    _made: dict[int, Run] = field(default_factory=dict)

    def call(self, at: int, name: str, run: Run, args: Sequence[Any]) -> Any:
        if at not in self.low:
            return run(*args)
        in_place = name.split(".")[1].endswith("_")
        if at not in self._made:
            aside: Run = (lambda x, *rest: run(x.clone(), *rest)) if in_place else run
            self._made[at] = KINKED[name](aside, self.low[at], self.high[at])
        if in_place:
            return args[0].copy_(self._made[at](args[0].clone(), *args[1:]))
        return self._made[at](*args)


@dataclass(frozen=True)
class _Stretch:
    """A curve f while its argument goes from ``low`` to ``high``, element by element: f and f' as straight lines."""

    curve: Curve
    low: Tensor
    high: Tensor

    def value(self, x: Tensor) -> Tensor:
        return torch.addcmul(self._offset, self.average, x)

    def slope(self, x: Tensor) -> Tensor:
        return self._slopes[0] + self.crossing * (x - self.low)

    @cached_property
    def average(self) -> Tensor:
        """The mean of f' on the way; where there is none, of f' at the ends."""
        chord = (self.curve(self.high) - self._begin).div_(self._move)
        return chord.where(self._moves, (self._slopes[0] + self._slopes[1]) / 2)

    @cached_property
    def crossing(self) -> Tensor:
        """How f' changes with x on the way."""
        chord = (self._slopes[1] - self._slopes[0]).div_(self._move)
        return chord.where(self._moves, torch.zeros_like(chord))

    @cached_property
    def _offset(self) -> Tensor:
        return self._begin - self.average * self.low

    @cached_property
    def _begin(self) -> Tensor:
        return self.curve(self.low)

    @cached_property
    def _move(self) -> Tensor:
        return self.high - self.low

    @cached_property
    def _moves(self) -> Tensor:
        size = self.low.abs().add_(self.high.abs()).mul_(_STILL * torch.finfo(self.low.dtype).eps)
        return self._move.abs() > size

    @cached_property
    def _slopes(self) -> tuple[Tensor, Tensor]:
        """f' at both ends."""
        with torch.enable_grad():
            ends = self.low.detach().requires_grad_(), self.high.detach().requires_grad_()
            low, high = torch.autograd.grad(self.curve(ends[0]).sum() + self.curve(ends[1]).sum(), ends)
        return low, high


class _Bent(torch.autograd.Function):
    """f(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stretch: _Stretch) -> Tensor:
        ctx.stretch = stretch
        ctx.save_for_backward(x)
        return stretch.value(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # this gradient is part of the target: it is by f' itself, which moves with x
            return _gated(gradient, x, ctx.stretch), None
        return gradient * ctx.stretch.average, None


class _Gated(torch.autograd.Function):
    """g · f'(x)."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, stretch: _Stretch) -> Tensor:
        ctx.stretch = stretch
        ctx.save_for_backward(gradient, x)
        return gradient * stretch.slope(x)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor | None, None]:
        gradient, x = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _gated(outer, x, ctx.stretch), None, None
        return outer * ctx.stretch.slope(x), outer * gradient * ctx.stretch.crossing, None


def _bent(x: Tensor, stretch: _Stretch) -> Tensor:
    return cast(Tensor, _Bent.apply(x, stretch))  # type: ignore[no-untyped-call]  # Function has no types


def _gated(gradient: Tensor, x: Tensor, stretch: _Stretch) -> Tensor:
    return cast(Tensor, _Gated.apply(gradient, x, stretch))  # type: ignore[no-untyped-call]  # nor here


def _of_one(run: Run, low: Inputs, high: Inputs) -> Run:
    """f(x, …), of which ``x`` moves."""
    stretch = _Stretch(lambda x: run(x, *low[1:]), low[0], high[0])
    return lambda x, *_: _bent(x, stretch)


def _gate_of(curve: Run) -> Callable[[Run, Inputs, Inputs], Run]:
    """g · f'(x) as an op of the tape, met where a loss contains gradients."""

    def made(run: Run, low: Inputs, high: Inputs) -> Run:
        stretch = _Stretch(lambda x: curve(x, *low[2:]), low[1], high[1])
        return lambda gradient, x, *_: _gated(gradient, x, stretch)

    return made


def _outer_of_two(sign: int) -> Callable[[Run, Inputs, Inputs], Run]:
    """The larger or the smaller of two: a ± relu(±(b − a))."""

    def made(run: Run, low: Inputs, high: Inputs) -> Run:
        stretch = _Stretch(torch.relu, sign * (low[1] - low[0]), sign * (high[1] - high[0]))
        return lambda a, b: a + sign * _bent(sign * (b - a), stretch)

    return made


def _prelu(run: Run, low: Inputs, high: Inputs) -> Run:
    above, below = _Stretch(torch.relu, low[0], high[0]), _Stretch(torch.relu, -low[0], -high[0])
    return lambda x, weight: _bent(x, above) - weight * _bent(-x, below)


def _largest(taken: Callable[[Tensor, Tensor, Inputs], Tensor]) -> Callable[[Run, Inputs, Inputs], Run]:
    """The largest of some places: as long as it moves from one place to one other, the larger of these two.

    ``taken`` gives a tensor's elements at the places that the op named, from what else it was given.
    """

    def made(run: Run, low: Inputs, high: Inputs) -> Run:
        first, last = run(*low)[1], run(*high)[1]

        def rise(x: Tensor, rest: Inputs) -> Tensor:
            return taken(x, last, rest) - taken(x, first, rest)

        stretch = _Stretch(torch.relu, rise(low[0], low[1:]), rise(high[0], high[1:]))

        def moved(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
            return taken(x, first, rest) + _bent(rise(x, rest), stretch), run(x, *rest)[1]

        return moved

    return made


def _of_windows(axes: int) -> Callable[[Tensor, Tensor, Inputs], Tensor]:
    """Places that pooling names, counted over the last ``axes`` axes together."""
    return lambda x, places, _: x.flatten(-axes).gather(-1, places.flatten(-axes)).view_as(places)


def _along(x: Tensor, places: Tensor, rest: Inputs) -> Tensor:
    """Places along one axis, which the result may have lost."""
    axis, kept = rest[0], len(rest) > 1 and rest[1]
    return x.gather(axis, places if kept else places.unsqueeze(axis)).view_as(places)


#: From an op and its inputs at the ends of an interval: the op between them.
KINKED: Final[Mapping[str, Callable[[Run, Inputs, Inputs], Run]]] = {
    **{
        f"aten.{name}{place}.default": _of_one
        for name in ("relu", "leaky_relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold", "hardsigmoid",
                     "hardswish", "abs", "sgn", "sign", "elu", "floor", "ceil", "round", "trunc")
        for place in ("", "_")
    },
    "aten.softshrink.default": _of_one,
    "aten.hardshrink.default": _of_one,
    "aten.threshold_backward.default": _gate_of(lambda x, threshold: torch.relu(x - threshold)),
    "aten.leaky_relu_backward.default": _gate_of(torch.nn.functional.leaky_relu),
    "aten.hardtanh_backward.default": _gate_of(torch.nn.functional.hardtanh),
    "aten.maximum.default": _outer_of_two(1),
    "aten.minimum.default": _outer_of_two(-1),
    "aten._prelu_kernel.default": _prelu,
    "aten.max_pool2d_with_indices.default": _largest(_of_windows(2)),
    "aten.max_pool3d_with_indices.default": _largest(_of_windows(3)),
    "aten.adaptive_max_pool2d.default": _largest(_of_windows(2)),
    "aten.adaptive_max_pool3d.default": _largest(_of_windows(3)),
    "aten.max.dim": _largest(_along),
}  # fmt: skip
