"""Between the ends of an interval an op with kinks is a straight line: its values, its slope, and slopes that jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dgm_tb.replay.ask import Target
from dgm_tb.replay.credit import path_of
from dgm_tb.replay.integral import integrate
from dgm_tb.replay.kinks import KINKED, Averaged, Noted
from dgm_tb.replay.path import Path
from dgm_tb.replay.target import look
from tests.callbacks.networks import Cnn, Mlp
from tests.replay.steps import two_steps

PROGRAM = "backward#0"
#: What an op is given after what moves, or before and after it.
REST: dict[str, tuple[Any, ...]] = {
    "leaky_relu": (0.2,), "hardtanh": (-0.5, 0.8), "clamp": (-0.4, 0.9), "clamp_min": (0.1,), "clamp_max": (0.1,),
    "threshold": (0.2, -1.0), "elu": (0.7,), "threshold_backward": (0.0,), "leaky_relu_backward": (0.2, False),
    "hardtanh_backward": (-0.5, 0.8), "max_pool2d_with_indices": ([2, 2], [2, 2]),
    "max_pool3d_with_indices": ([2, 2, 2],), "adaptive_max_pool2d": ([2, 3],), "adaptive_max_pool3d": ([2, 3, 2],),
    "softshrink": (0.3,), "hardshrink": (0.3,), "max": (-1, True),
}  # fmt: skip
#: Continuous functions of one tensor.
CONTINUOUS = (
    *("relu", "leaky_relu", "hardtanh", "clamp", "clamp_min", "clamp_max"),
    *("hardsigmoid", "hardswish", "abs", "elu", "softshrink"),
)


def base(name: str) -> str:
    return name.split(".")[1].rstrip("_")


def run_of(name: str) -> Any:
    _, op, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, op), overload)


def given_to(name: str, chance: torch.Generator) -> tuple[Tensor, ...]:
    """What moves."""
    shape: tuple[int, ...] = (2, 3, 4, 4) if "pool2d" in name else (1, 2, 4, 4, 4) if "pool3d" in name else (4, 6)
    two = base(name).endswith("_backward") or base(name) in ("maximum", "minimum", "_prelu_kernel")
    return tuple(torch.randn(shape, generator=chance, dtype=torch.float64) for _ in range(1 + two))


def between(name: str, low: tuple[Tensor, ...], high: tuple[Tensor, ...]) -> Any:
    rest = REST.get(base(name), ())
    ends = [Noted(), Noted()]
    for noted, moving in zip(ends, (low, high), strict=True):
        noted.call(0, name, run_of(name), (*(one.clone() for one in moving), *rest))
    averaged = Averaged(ends[0].inputs, ends[1].inputs)

    def op(*moving: Tensor) -> Tensor:
        found = averaged.call(0, name, run_of(name), (*moving, *rest))
        return found[0] if isinstance(found, tuple) else found  # type: ignore[no-any-return]

    return op


@pytest.mark.parametrize("name", KINKED)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_its_derivative_along_the_interval_adds_up_to_what_the_op_does(name: str, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    low, high = given_to(name, chance), given_to(name, chance)
    op, rest = between(name, low, high), REST.get(base(name), ())
    truth = []
    for end in (low, high):
        found = run_of(name)(*(one.clone() for one in end), *rest)
        truth.append(found[0] if isinstance(found, tuple) else found)
    outer = torch.randn(truth[0].shape, generator=chance, dtype=torch.float64)
    places, weights = np.polynomial.legendre.leggauss(3)
    total = 0.0
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        at = [torch.lerp(a, b, place).requires_grad_() for a, b in zip(low, high, strict=True)]
        gradients = torch.autograd.grad(op(*(leaf.clone() for leaf in at)), at, outer)
        total += weight * sum(float((g * (b - a)).sum()) for g, a, b in zip(gradients, low, high, strict=True))
    assert total == pytest.approx(float((outer * (truth[1] - truth[0])).sum()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in KINKED if "_." not in name and base(name) in CONTINUOUS])
def test_the_slope_is_the_mean_of_the_slopes_on_the_way(name: str) -> None:
    """Beside the slow way: the derivative of the op itself at many places."""
    chance = torch.Generator().manual_seed(0)
    (low,), (high,) = given_to(name, chance), given_to(name, chance)
    rest = REST.get(base(name), ())
    slopes = []
    for place in (np.arange(4000) + 0.5) / 4000:
        at = torch.lerp(low, high, place).requires_grad_()
        slopes.append(torch.autograd.grad(run_of(name)(at.clone(), *rest).sum(), at)[0])
    at = low.clone().requires_grad_()
    (slope,) = torch.autograd.grad(between(name, (low,), (high,))(at.clone()).sum(), at)
    torch.testing.assert_close(slope, torch.stack(slopes).mean(0), rtol=0, atol=2e-3)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_jump_of_a_gradient_goes_to_what_went_over_the_kink(seed: int) -> None:
    """F = g · relu'(x): what x carries of its change is the mean g times the jump."""
    chance = torch.Generator().manual_seed(seed)
    low, high, gradient = (torch.randn(20, generator=chance, dtype=torch.float64) for _ in range(3))
    op = between("aten.relu.default", (low,), (high,))
    at = torch.lerp(low, high, 0.5).requires_grad_()
    (inner,) = torch.autograd.grad((op(at) * gradient).sum(), at, create_graph=True)
    (of_x,) = torch.autograd.grad(inner.sum(), at)
    jump = gradient * ((high > 0).double() - (low > 0).double())
    torch.testing.assert_close(of_x * (high - low), jump)


def test_an_op_in_place_changes_its_argument_and_nothing_that_was_noted() -> None:
    low, high = torch.tensor([-1.0, 2.0]), torch.tensor([3.0, -2.0])
    op = between("aten.relu_.default", (low,), (high,))
    at = torch.tensor([1.0, 0.0])
    assert op(at) is at
    assert at.tolist() == [1.5, 1.0]  # halfway between relu(-1) and relu(3), relu(2) and relu(-2)


def test_whole_numbers_are_left_alone() -> None:
    low, high = torch.tensor([3, -2]), torch.tensor([-1, 4])
    op = between("aten.abs.default", (low,), (high,))
    assert op(high).tolist() == [1, 4]


@pytest.mark.parametrize("rest", [(0,), (-1, True)])
def test_a_maximum_along_an_axis_goes_from_place_to_place(rest: tuple[Any, ...]) -> None:
    low, high = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 3.0], [1.0, 2.0]])
    noted = [Noted(), Noted()]
    for one, x in zip(noted, (low, high), strict=True):
        one.call(0, "aten.max.dim", torch.ops.aten.max.dim, (x, *rest))
    op = Averaged(noted[0].inputs, noted[1].inputs)
    for x in (low, high):
        values, places = op.call(0, "aten.max.dim", torch.ops.aten.max.dim, (x, *rest))
        torch.testing.assert_close((values, places), tuple(torch.ops.aten.max.dim(x, *rest)))


def test_what_does_not_move_keeps_its_slope() -> None:
    still = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    op = between("aten.relu.default", (still,), (still.clone(),))
    at = still.clone().requires_grad_()
    (slope,) = torch.autograd.grad(op(at).sum(), at)
    assert slope.tolist() == [0.0, 1.0, 1.0]


class Plain(Path):
    """The line as it is, kinks and all."""

    kinked = False


@pytest.mark.parametrize("kind", [Mlp, Cnn], ids=lambda kind: kind.__name__)
def test_the_parts_are_those_of_the_line_itself_as_intervals_shrink(
    kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the slow way: a quadrature of the line itself at many places."""
    earlier, later = two_steps(kind, between=4)
    target = Target("last" if kind is Mlp else "head", PROGRAM, (0,))
    path, _ = path_of(target, earlier, later, batch="same")
    ends = look(target, path.machine, path.start).value, look(target, path.machine, path.end).value
    plain = Plain(path.machine, path.start, path.end, path.asked, path.target, path.cuts)
    monkeypatch.setattr("dgm_tb.replay.integral.SMOOTH", (3, 400))
    truth = integrate(plain, ends, np.inf)
    errors = []
    for intervals in (1, 4, 16):
        monkeypatch.setattr("dgm_tb.replay.integral.KINKED", (2, intervals))
        found = integrate(path, ends, np.inf)
        missed = sum(float((found.cuts[cut] - part).norm(1)) for cut, part in truth.cuts.items())
        errors.append(missed / sum(float(part.norm(1)) for part in truth.cuts.values()))
    assert errors[1] < 0.02
    assert errors[2] <= errors[1] <= errors[0]
