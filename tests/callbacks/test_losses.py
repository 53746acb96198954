from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from dgm_tb.records import StepTable, is_logged
from lightning_callbacks import losses
from lightning_callbacks.losses import INTERVAL, Losses


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _losses() -> tuple[Losses, list[StepTable], Clock]:
    tables: list[StepTable] = []
    clock = Clock()

    def submit(table: Callable[[], StepTable]) -> None:
        tables.append(table())

    return Losses(submit, clock, lambda step, loss: None), tables, clock


def test_one_table_a_flush_with_what_each_step_logged() -> None:
    waiting, tables, clock = _losses()
    waiting.add(0, {"loss": torch.tensor(2.0)})
    clock.now += 1
    waiting.add(1, {"loss": torch.tensor(torch.nan), "kl": 0.5})
    waiting.flush()
    waiting.flush()  # nothing waits: no table
    (table,) = tables
    assert table.columns == ("step", "wall_time", "loss", "kl")
    assert table.values[:, :2].tolist() == [[0, 100], [1, 101]]
    assert is_logged(table.values).tolist() == [[True, True, True, False], [True] * 4]
    assert math.isnan(table.values[1, 2])
    assert (table.values[0, 2], table.values[1, 3]) == (2.0, 0.5)


def test_they_are_due_every_two_seconds() -> None:
    waiting, _, clock = _losses()
    clock.now += INTERVAL - 0.1
    assert not waiting.due()
    clock.now += 0.1
    assert waiting.due()
    waiting.flush()
    assert not waiting.due()


def test_what_is_kept_does_not_follow_the_original() -> None:
    loss = (torch.ones(1, requires_grad=True) * 3).sum()
    kept = losses.kept(loss)
    assert isinstance(kept, torch.Tensor)
    assert kept.grad_fn is None
    loss.detach().mul_(2)
    assert float(kept) == 3.0
    assert losses.kept(2) == 2.0


def test_mean_and_total() -> None:
    values: list[losses.Number] = [torch.tensor(1.0), torch.tensor([3.0]), 5.0]
    assert float(losses.mean(values)) == 3.0
    assert float(losses.total(values)) == 9.0
    assert float(losses.total([4.0])) == pytest.approx(4.0)


def test_a_loss_arrives_with_the_table() -> None:
    arrived: list[tuple[int, float]] = []
    waiting = Losses(lambda table: table(), Clock(), lambda step, loss: arrived.append((step, loss)))
    waiting.add(3, {"loss": torch.tensor(2.0), "kl": torch.tensor(7.0)})
    waiting.add(4, {"kl": torch.tensor(8.0)})
    assert arrived == []
    waiting.flush()
    assert arrived == [(3, 2.0)]
