from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import nn

from lightning_callbacks import Group, model, options
from lightning_callbacks.pace import Pace
from lightning_callbacks.watch import DENSE, LONGEST, Alarm


def _pace(alarms: list[Alarm] | None = None, last: int | None = None) -> Pace:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    found = model.survey(net, options.parse(10, groups={"^1$": Group(every_n_steps=25)}))
    return Pace(found, last, (alarms if alarms is not None else []).append)


def _due(pace: Pace, step: int, stretch: int = 1) -> tuple[list[str], bool]:
    plan = pace.plan(step, stretch)
    return (sorted(plan.due), plan.whole) if plan is not None else ([], False)


def test_what_is_due_at_a_step() -> None:
    pace = _pace(last=77)
    assert [_due(pace, step) for step in (0, 3, 10, 25, 50, 77)] == [
        (["0", "1"], True),
        ([], False),
        (["0"], False),
        (["1"], False),
        (["0", "1"], True),
        (["0", "1"], True),
    ]
    pace.expect_last(78)
    assert _due(pace, 78) == (["0", "1"], True)


def test_equal_plans_are_one_object() -> None:
    pace = _pace()
    assert pace.plan(10, 1) is pace.plan(20, 1)


def test_intervals_are_stretched() -> None:
    assert [step for step in range(30, 130) if _due(_pace(), step, stretch=4)[0]] == [40, 80, 100, 120]


def test_while_a_warning_lasts_every_step_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    alarms: list[Alarm] = []
    pace = _pace(alarms)
    for step in range(30, 100):
        pace.plan(step, 1)
        pace.ended(step, {"loss": torch.tensor(math.inf if step == 33 else 1.0), "other": math.nan})
    assert [(alarm.kind, alarm.step) for alarm in alarms] == [("non-finite", 33)]
    pace = _pace()
    whole = []
    for step in range(30, 100):
        if _due(pace, step)[1]:
            whole.append(step)
        pace.ended(step, {"loss": math.inf if step == 33 else 1.0})
    assert whole == list(range(34, 34 + DENSE))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert caplog.records[0].getMessage() == "DGM: the loss is inf at step 33; the steps up to 65 are captured"


def test_a_stretch_that_is_stretched_does_not_end() -> None:
    pace = _pace()
    captured = []
    for step in range(30, 200):
        if pace.plan(step, 1000) is not None:
            captured.append(step)
        pace.ended(step, {"loss": math.nan if step >= 33 else 1.0})
    assert captured == list(range(34, 34 + LONGEST))


def test_a_loss_that_turns_bad_before_its_backward_is_captured_without_its_activations() -> None:
    pace = _pace()
    assert pace.late_plan(torch.tensor(1.0)) is None
    plan = pace.late_plan(torch.tensor(math.nan))
    assert plan is not None
    assert dict(plan.due) == {"0": {"weight", "weight_gradient", "update"}}
    assert not plan.whole


def test_what_cannot_be_read_for_nothing_is_not_read() -> None:
    assert _pace().late_plan(torch.empty((), device="meta")) is None
    assert _pace().late_plan(torch.tensor([math.nan, 1.0])) is None
