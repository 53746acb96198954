from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_callbacks.watch import ALLOWANCE, DENSE, LONGEST, NON_FINITE, SPIKE, WINDOW, Alarm, Watch
from tests.callbacks.oracles import slow_spike

SEEDS = st.integers(0, 2**32 - 1)


def _alarms(losses: Sequence[float], watch: Watch | None = None) -> list[Alarm]:
    watch = watch or Watch()
    found = (watch.see(step, loss, step + 1) for step, loss in enumerate(losses))
    return [alarm for alarm in found if alarm is not None]


def _dense(losses: Sequence[float], every: int = 10**9) -> list[int]:
    """The steps that are captured beside the scheduled ones, where each loss is known before the next step."""
    watch, captured = Watch(), []
    for step, loss in enumerate(losses):
        scheduled = step % every == 0
        if watch.dense(step, scheduled) and not scheduled:
            captured.append(step)
        watch.see(step, loss, step + 1)
    return captured


def _noise(seed: int, steps: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=steps)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SEEDS, st.floats(-10, 10), st.floats(1e-6, 10))
def test_noise_around_any_level_is_healthy(seed: int, level: float, size: float) -> None:
    assert _alarms((level + size * _noise(seed, 500)).tolist()) == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SEEDS, st.floats(0.9, 0.999), st.floats(0, 0.3))
def test_a_decreasing_loss_is_healthy(seed: int, rate: float, noise: float) -> None:
    """Up to the tails of its own noise: of a lognormal loss one step in thousands lies as far out as a spike."""
    steps = np.arange(500)
    losses = 2.3 * rate**steps * np.exp(noise * _noise(seed, 500)) + 0.01
    assert len(_alarms(losses.tolist())) <= (noise > 0.1)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SEEDS, st.floats(10, 200), st.floats(0, 6.3))
def test_the_losses_of_a_gan_are_healthy(seed: int, period: float, phase: float) -> None:
    steps = np.arange(600)
    discriminator = 1.39 + 0.4 * np.sin(2 * np.pi * steps / period + phase) + 0.1 * _noise(seed, 600)
    assert _alarms(discriminator.tolist()) == []


@pytest.mark.parametrize("level", [0.0, 0.693, -3.0, 1e-30, 1e30])
def test_a_constant_loss_is_healthy_and_so_are_its_roundings(level: float) -> None:
    assert _alarms([level] * 300) == []
    rounded = [float(np.float32(level) * np.float32(1 + 1e-6 * (step % 7 == 0))) for step in range(300)]
    assert _alarms(rounded) == []


def test_a_settled_loss_does_not_spike_by_a_ripple() -> None:
    settled = [0.693 + 1e-7 * (step % 2) for step in range(100)]
    assert _alarms([*settled, 0.694]) == []  # ten thousand deviations, and one part in seven hundred
    assert len(_alarms([*settled, 0.75])) == 1


def test_a_loss_that_is_mostly_zero_is_healthy() -> None:
    assert _alarms([float(step % 20 == 0) for step in range(400)]) == []


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_heavy_tails_warn_rarely(seed: int) -> None:
    losses = np.exp(_noise(seed, 2000))  # 3 % of these exceed the rule's 6 deviations
    assert len(_alarms(losses.tolist())) <= 25


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SEEDS, st.integers(WINDOW, 200), st.floats(20, 1e6))
def test_a_planted_spike_is_found_at_its_step(seed: int, at: int, height: float) -> None:
    losses = 5 + 0.1 * _noise(seed, 300)
    losses[at] += 0.1 * height
    (alarm,) = _alarms(losses.tolist())
    assert (alarm.kind, alarm.step) == (SPIKE, at)
    assert alarm.value == pytest.approx(slow_spike(losses[at - WINDOW : at].tolist(), losses[at]), rel=1e-9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e300, 1e300), min_size=WINDOW + 1, max_size=WINDOW + 20))
def test_whatever_the_losses_are_an_alarm_is_a_spike_by_the_rule(losses: list[float]) -> None:
    for alarm in _alarms(losses):
        assert slow_spike(losses[alarm.step - WINDOW : alarm.step], losses[alarm.step]) > 6


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 1, 30, 100])
def test_the_first_loss_that_is_not_finite_warns_and_the_next_steps_are_dense(bad: float, at: int) -> None:
    losses = [1.0] * 200
    losses[at] = bad
    (alarm,) = _alarms(losses)
    assert (alarm.kind, alarm.step) == (NON_FINITE, at)
    assert _dense(losses) == list(range(at + 1, at + 1 + DENSE))


def test_a_training_that_stays_nan_is_dense_for_a_while_only() -> None:
    losses = [1.0] * 10 + [math.nan] * 5000
    assert len(_alarms(losses)) == 1
    assert _dense(losses) == list(range(10 + 1, 10 + 1 + LONGEST))


def test_a_spike_that_goes_on_prolongs_the_dense_stretch() -> None:
    losses = [1 + 0.01 * (step % 5) for step in range(100)] + [50.0] * 20 + [1.0] * 300
    assert _dense(losses) == list(range(101, 120 + DENSE))


def test_a_new_level_is_not_dense_forever() -> None:
    losses = [1 + 0.01 * (step % 5) for step in range(100)] + [50 + 0.01 * (step % 5) for step in range(1000)]
    assert len(_alarms(losses)) == 1
    assert _dense(losses) == list(range(101, 101 + LONGEST))


def test_a_spike_that_ends_in_nan_warns_twice() -> None:
    losses = [1 + 0.01 * (step % 5) for step in range(100)] + [50.0, 500.0, math.nan]
    assert [(alarm.kind, alarm.step) for alarm in _alarms(losses)] == [(SPIKE, 100), (NON_FINITE, 102)]


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(5, 60))
def test_whatever_happens_a_run_is_captured_twice_as_often_at_most(seed: int, every: int) -> None:
    rng = np.random.default_rng(seed)
    losses = np.where(rng.random(3000) < 0.3, np.nan, rng.normal(size=3000)).tolist()
    assert len(_dense(losses, every)) <= ALLOWANCE + len(losses) // every + 1


def test_a_loss_that_turns_bad_before_its_backward_is_worth_a_capture_once() -> None:
    watch = Watch()
    assert not watch.sudden(1.0)
    assert watch.sudden(math.nan)
    watch.see(0, math.nan, 1)
    assert not watch.sudden(math.nan)
    for step in range(1, 2 * ALLOWANCE):
        watch.see(step, 1.0, step + 1)
        watch.sudden(math.nan)
    assert not watch.sudden(math.nan)  # the allowance is spent


def test_a_loss_that_arrives_late_makes_the_steps_from_then_on_dense() -> None:
    watch = Watch()
    alarm = watch.see(3, math.nan, 10)
    assert alarm is not None
    assert (alarm.step, watch.until) == (3, 10 + DENSE - 1)
