from __future__ import annotations

from benchmarks.capture_goals import verdict
from benchmarks.capture_steps import Profile

PROFILE = Profile(20.0, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 4.0)


def _said(mlp: float) -> list[str]:
    return verdict(
        {0: "MLP", 1: "VAE"},
        {0: {1: mlp, 10: 1.01}, 1: {1: 1.3, 10: 1.05}},
        {0: 1.0},
        {0: 1.2},
        {0: PROFILE, 1: PROFILE},
        {0: 2.0, 1: 2.0},
        25.0,
    ).splitlines()[2:]


def test_each_goal_is_met_or_missed() -> None:
    mlp, vae, call = _said(1.1)
    assert "every 1: 1.100, met (≤ 1.15)" in mlp
    assert "bytes over the rows' own: 1.20, **missed** (≤ 1.05)" in mlp
    assert "every 10: 1.050, **missed** (≤ 1.04)" in vae
    assert call == "- A module call: 25 µs, met (≤ 30 µs)."


def test_where_the_time_goes_is_said_of_a_model_that_is_too_slow() -> None:
    assert "kernels" not in _said(1.1)[0]
    said = _said(1.2)[0]
    assert "adds 6.0 ms" in said
    assert "3.0 ms were aimed at: 4.0 ms in the kernels, which take 2.0 times as long as one `sum`" in said
    assert "and 2.0 ms in Python" in said
