from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lightning_callbacks import arrivals
from lightning_callbacks.arrivals import UNDER_WAY, Arrivals, value_of


def test_on_the_cpu_a_loss_is_there_at_once_and_in_order() -> None:
    waiting = Arrivals()
    waiting.send(0, torch.tensor(2.0))
    waiting.send(1, 3.0)
    waiting.late(1, 7.0)  # it was sent
    waiting.send(2, torch.tensor([math.nan]))
    first, second, third = waiting.take()
    assert (first, second, third[0]) == ((0, 2.0), (1, 3.0), 2)
    assert math.isnan(third[1])
    assert list(waiting.take()) == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_a_number_of_any_kind(dtype: torch.dtype) -> None:
    assert value_of(torch.tensor(3, dtype=dtype)) == 3.0
    assert value_of(torch.tensor([[3]], dtype=dtype)) == 3.0


def test_a_loss_with_a_graph_is_read_too() -> None:
    assert value_of((torch.ones(1, requires_grad=True) * 2).sum()) == 2.0


def test_what_is_no_single_number_is_not_watched() -> None:
    waiting = Arrivals()
    waiting.send(0, torch.zeros(2))
    assert list(waiting.take()) == []


def test_what_another_device_holds_comes_late() -> None:
    waiting = Arrivals()
    waiting.send(0, torch.empty((), device="meta"))
    assert list(waiting.take()) == []
    waiting.late(0, 5.0)
    assert list(waiting.take()) == [(0, 5.0)]


class _Event:
    """Has happened when the test says so; waiting for it is an error."""

    all: list[_Event] = []  # noqa: RUF012  # of one test

    def __init__(self) -> None:
        self.happened = False
        self.all.append(self)

    def record(self, stream: object) -> None:
        pass

    def query(self) -> bool:
        return self.happened

    def synchronize(self) -> None:
        raise AssertionError("waited")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[_Event]:
    """A device that behaves like CUDA where `Arrivals` looks: copies happen at once, events when they are told."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, pin_memory=False: empty(*size))
    monkeypatch.setattr(torch.cuda, "Event", _Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    _Event.all = []
    return _Event


class _Loss:
    """What `Arrivals` asks a loss on CUDA."""

    def __init__(self, value: float) -> None:
        self._value = torch.tensor(value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return torch.Tensor

    is_cpu, is_cuda, device = False, True, torch.device("cuda")

    def numel(self) -> int:
        return 1

    def reshape(self, shape: Any) -> torch.Tensor:
        return self._value


def test_on_cuda_losses_arrive_when_their_events_say_so(device: type[_Event]) -> None:
    waiting = Arrivals()
    for step in range(3):
        waiting.send(step, _Loss(float(step)))  # type: ignore[arg-type]
    assert list(waiting.take()) == []
    device.all[0].happened = device.all[2].happened = True
    assert list(waiting.take()) == [(0, 0.0)]  # in order: the third waits for the second
    device.all[1].happened = True
    assert list(waiting.take()) == [(1, 1.0), (2, 2.0)]


def test_a_device_far_behind_is_not_watched_meanwhile_and_never_mixed_up(device: type[_Event]) -> None:
    waiting = Arrivals()
    for step in range(UNDER_WAY + 5):
        waiting.send(step, _Loss(float(step)))  # type: ignore[arg-type]
    for event in device.all[:10]:
        event.happened = True
    assert list(waiting.take()) == [(step, float(step)) for step in range(10)]
    for step in range(100, 110):
        waiting.send(step, _Loss(float(step)))  # type: ignore[arg-type]
    for event in device.all:
        event.happened = True
    seen = list(waiting.take())
    assert seen == [(step, float(step)) for step in (*range(10, UNDER_WAY), *range(100, 110))]


def test_the_module_asks_no_device_to_wait() -> None:
    import inspect

    source = inspect.getsource(arrivals)
    assert ".synchronize(" not in source
    assert ".cpu(" not in source
