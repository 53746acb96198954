"""Which steps are deep, what stays of them, and that a training does not notice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.optim import Adam

from dgm_tb.replay import deep as stored
from dgm_tb.replay.tape import Tape
from dgm_tb.run import open_run
from lightning_callbacks import Recorder
from lightning_callbacks.deep import ALLOWANCE, OF_ONE_WARNING, REST, RING, WARNED, DeepSchedule, Keeper
from tests.callbacks.networks import Mlp, Vae

TAPE = Tape(0, (), (), (), (), (), (), {})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(schedule: DeepSchedule, clock: Clock, steps: int, warnings: Sequence[range] = ()) -> list[int]:
    """The steps that are recorded, of a training whose steps take a second, recorded ones two."""
    found = []
    for step in range(steps):
        warning = next((lasts.start for lasts in warnings if step in lasts), None)
        if schedule.wants(step, warning=warning):
            found.append(step)
            schedule.recorded(step, 2.0, warning=warning)
        clock.now += 1.0
    return found


def test_the_start_is_geometric_and_the_rest_stays_cheap() -> None:
    clock = Clock()
    found = taken(DeepSchedule("auto", clock), clock, 3000)
    assert {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048} <= set(found)
    assert len(found) <= 3000 / (2 * REST) + 12


def test_the_first_steps_under_each_warning_but_not_for_ever() -> None:
    clock = Clock()
    warnings = [range(begin, begin + 32) for begin in range(1100, 2000, 40)]
    found = set(taken(DeepSchedule("auto", clock), clock, 2040, warnings))
    for lasts in warnings[: ALLOWANCE // OF_ONE_WARNING]:
        assert set(lasts[:OF_ONE_WARNING]) <= found
        assert len(found & set(lasts)) <= OF_ONE_WARNING + 2
    assert len([step for step in found if step >= 1100]) < 2 * ALLOWANCE


def test_an_interval_and_none() -> None:
    clock = Clock()
    assert taken(DeepSchedule(10, clock), clock, 65) == [0, 1, 2, 4, 8, 10, 16, 20, 30, 32, 40, 50, 60, 64]
    assert taken(DeepSchedule(0, clock), clock, 50, [range(50)]) == []


def test_the_latest_under_warnings_stay_and_the_ring(tmp_path: Path) -> None:
    from dataclasses import replace

    keeper = Keeper(tmp_path, 1 << 30)
    for step in range(60):
        keeper.keep(replace(TAPE, step=step), {}, lasting=step == 1, warned=20 <= step < 50)
    expected = [1, *range(50 - WARNED, 50), *range(60 - RING, 60)]
    assert [one.step for one in stored.listing(tmp_path)] == expected


def test_more_than_they_may_take_is_removed_the_oldest_first(tmp_path: Path) -> None:
    from dataclasses import replace

    tensors = {"x": torch.zeros(1000)}
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = Keeper(tmp_path / "one", 1 << 30).keep(TAPE, tensors, lasting=True)
    keeper = Keeper(tmp_path / "many", 4 * one + 100)
    grown = sum(keeper.keep(replace(TAPE, step=step), tensors, lasting=True) for step in range(9))
    assert [found.step for found in stored.listing(tmp_path / "many")] == [5, 6, 7, 8]
    assert grown == sum(found.size for found in stored.listing(tmp_path / "many"))


def _trained(directory: Path | None, **options: object) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(3)
    net = Vae()
    optimizer = Adam(net.parameters(), 1e-2)
    data = Vae.data()

    def step() -> torch.Tensor:
        loss = net.loss(data)
        optimizer.zero_grad()
        return loss

    if directory is None:
        for _ in range(10):
            step().backward()
            optimizer.step()
    else:
        with Recorder(net, directory, **{"every_n_steps": 1, **options}) as recorder:  # type: ignore[arg-type]
            for _ in range(10):
                with recorder.step(data):
                    loss = step()
                    recorder.log(loss=loss)
                    loss.backward()
                    optimizer.step()
            assert recorder.failure is None
    return net.state_dict(), torch.get_rng_state()


def test_deep_steps_leave_the_training_as_it_is(tmp_path: Path) -> None:
    with_it, random = _trained(tmp_path, deep_every_n_steps=1)
    without, expected = _trained(None)
    assert torch.equal(random, expected)
    assert all(torch.equal(with_it[name], value) for name, value in without.items())
    with open_run(tmp_path) as run:
        assert run.deep_steps == tuple(range(10))
        assert run.replay(9, [], node="mean")["loss_before"] == pytest.approx(run.losses.values[0, 9], rel=1e-6)
        credit = run.credit(node="variance", units=[0], step=9, previous=4, batch="same")
    assert credit.converged
    assert credit.parameters["encoder.0.weight"].shape == (4,)
    assert credit.units["encoder.1"].shape == (4,)


def test_every_nth_step_is_kept_though_captures_are_rarer(tmp_path: Path) -> None:
    _trained(tmp_path, every_n_steps=50, deep_every_n_steps=3)
    with open_run(tmp_path) as run:
        assert {0, 3, 6, 9} <= set(run.deep_steps)
        assert {5, 7}.isdisjoint(run.steps)


def test_too_large_a_step_is_said_once_and_nothing_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lightning_callbacks"):
        _trained(tmp_path, max_deep_bytes=100)
    assert len([record for record in caplog.records if "max_deep_bytes" in record.getMessage()]) == 1
    with open_run(tmp_path) as run:
        assert run.deep_steps == ()
        assert len(run.steps) == 10
    (session,) = (tmp_path / "plugins" / "dgm").iterdir()
    assert "max_deep_bytes" in (stored.read_reason(session) or "")


def test_a_program_that_is_never_run_backward_is_kept_without_one(tmp_path: Path) -> None:
    net = Mlp()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for _ in range(2):
            with recorder.step(Mlp.data()), torch.no_grad():
                net.loss(Mlp.data())
        assert recorder.failure is None
    with open_run(tmp_path) as run:
        assert run.deep_steps == (0, 1)
