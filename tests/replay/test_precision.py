"""When credit is computed in float32, and when in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dgm_tb.replay import credit, integral
from dgm_tb.replay.ask import Target
from dgm_tb.replay.credit import BLUR, change_credit
from dgm_tb.replay.integral import Integral, Progress
from dgm_tb.replay.path import Path
from tests.callbacks.networks import Mlp
from tests.replay.steps import batch_of, network, optimizers_of, recorded, two_steps

PROGRAM = "backward#0"
NAN = float("nan")


@pytest.mark.parametrize(
    ("gap", "rounded", "blur", "double"),
    [
        (0.0, 0.0, 0.0, False),
        (0.0, 0.0, 2 * BLUR, True),  # rounding shows in how units move
        (9.0, 9.0, 0.0, True),  # in the gap
        (9.0, 0.0, 0.0, False),  # the gap is the path's: no precision helps
        (NAN, NAN, 0.0, True),
        (0.0, 0.0, NAN, True),
    ],
)
def test_rounding_that_shows_asks_for_double_precision(
    gap: float, rounded: float, blur: float, double: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.dtype] = []

    def integrated(path: Path, ends: tuple[float, float], tolerance: float, progress: Progress) -> Integral:
        used.append(path.machine.dtype)
        return Integral({}, {}, gap, 12, rounded, blur)

    monkeypatch.setattr(credit, "integrate", integrated)
    change_credit(Target("last", PROGRAM, (0,)), *two_steps(Mlp))
    assert used == ([torch.float32, torch.float64] if double else [torch.float32])


def test_a_tolerance_below_rounding_asks_for_double_precision_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.dtype] = []

    def integrated(path: Path, *rest: object) -> Integral:
        used.append(path.machine.dtype)
        return integral.integrate(path, *rest)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(credit, "integrate", integrated)
    change_credit(Target("last", PROGRAM, (0,)), *two_steps(Mlp), tolerance=1e-9)
    assert used == [torch.float64]


def test_of_the_smallest_movements_credit_is_right() -> None:
    """A layer whose weights move by a few roundings: in float32 its units' movement would be noise."""
    module = network(Mlp)
    batch = batch_of(Mlp, 1)
    earlier, _ = recorded(module, batch, optimizers_of(module, 0.0))
    with torch.no_grad():
        module.first.weight.mul_(1 + 1e-6)  # type: ignore[operator, union-attr]  # a layer's, not a module's
        module.last.bias.add_(1.0)  # type: ignore[operator, union-attr]  # likewise; a change that float32 can tell
    later, _ = recorded(module, batch, optimizers_of(module, 0.0), 1)
    target = Target("last", PROGRAM, (0,))
    found = change_credit(target, earlier, later)
    exact = change_credit(target, earlier, later, tolerance=1e-12)
    np.testing.assert_allclose(found.units["first"], exact.units["first"], rtol=1e-3, atol=1e-12)
