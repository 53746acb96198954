"""What the dispatch mode records of a step; that a tape replays the step is tested in `tests/replay`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dgm_tb.replay.tape import Op
from lightning_callbacks import trace
from lightning_callbacks.course import Began, Ended
from lightning_callbacks.recorded import UnrecordableError
from lightning_callbacks.tape import TapeMode

LARGE = 1 << 20


class _Net(nn.Module):
    """Two layers, and what is done between them."""

    def __init__(self, between: Callable[[Tensor], Any] = torch.tanh) -> None:
        super().__init__()
        self.first, self.last, self.between = nn.Linear(4, 4), nn.Linear(4, 2), between

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.between(self.first(x)))
        return out


def _mode(net: nn.Module, **options: Any) -> TapeMode:
    named = {path: module for path, module in net.named_modules() if path}
    return TapeMode(net, named, {module: path for path, module in named.items()}, **options)


def _step(net: nn.Module, mode: TapeMode) -> None:
    x = torch.randn(3, 4)
    with mode:
        mode.batch([x])
        loss = net(x).square().mean()
        mode.loss(loss, 0)
        loss.backward()


def _modules(mode: TapeMode) -> list[str]:
    return [event.path for event in trace.events(mode.course()) if event.kind == "module"]


@pytest.mark.parametrize("max_bytes", [0, LARGE])
def test_no_tensor_is_kept_alive_and_no_hook_is_left(max_bytes: int) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    mode = _mode(net, max_bytes=max_bytes, traced=True)
    with mode:
        out = net(torch.randn(2, 4))
        reference = weakref.ref(out)
        del out
        gc.collect()
        assert reference() is None
    assert _modules(mode) == ["0", "1"]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_only_what_was_asked_for_is_recorded() -> None:
    net = _Net()
    _step(net, traced := _mode(net, traced=True))
    _step(net, taped := _mode(net, max_bytes=LARGE))
    _step(net, both := _mode(net, max_bytes=LARGE, traced=True))
    with pytest.raises(UnrecordableError, match="no tape was asked for"):
        traced.recorded(0, {})
    assert taped.course().entries == ()
    assert _modules(traced) == _modules(both) == ["first", "last"]
    assert [op.name for op in taped.recorded(0, {}).tape.ops] == [op.name for op in both.recorded(0, {}).tape.ops]


def _nested(h: Tensor) -> Tensor:
    padded: Tensor = torch.nested.to_padded_tensor(torch.nested.as_nested_tensor([h[:2], h[2:]]), 0.0).reshape(-1, 4)
    return padded


OWN: Tensor = torch.ones(4).as_subclass(type("Own", (Tensor,), {}))
MUCH = torch.ones(LARGE)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda h: h.to_sparse().to_dense(), "sparse"),
        (_nested, "layout"),
        (lambda h: h * OWN, "reads a Own"),
        (lambda h: h + (h[0, 0] * MUCH)[:4], "max_deep_bytes"),
    ],
    ids=["sparse", "nested", "subclass", "large"],
)
def test_a_step_that_no_tape_can_hold_still_has_its_course(between: Any, reason: str) -> None:
    net = _Net(between)
    _step(net, mode := _mode(net, max_bytes=LARGE, traced=True))
    with pytest.raises(UnrecordableError, match=reason):
        mode.recorded(0, {})
    events = trace.events(mode.course())
    assert _modules(mode) == ["first", "last"]
    last = next(event for event in events if event.path == "last")
    reached = set(last.origins)
    while not any(events[index].path == "first" for index in reached):
        assert reached
        reached = {origin for index in reached for origin in events[index].origins}


def test_what_runs_in_a_backward_pass_is_no_part_of_the_course() -> None:
    net = _Net()
    plain, again = _mode(net, traced=True), _mode(net, traced=True)
    _step(net, plain)
    with again:
        again.batch([x := torch.ones(3, 4)])
        loss = checkpoint(net, x, use_reentrant=False).square().mean()
        again.loss(loss, 0)
        loss.backward()
    assert [entry.call for entry in again.course().entries if isinstance(entry, Began)] == [0, 1, 2]
    assert _modules(again) == _modules(plain)


def test_an_optimizer_is_no_part_of_it_but_its_closure_is() -> None:
    net = _Net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    mode = _mode(net, max_bytes=LARGE, traced=True)
    x = torch.ones(3, 4)
    with mode:

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = net(x).sum()
            mode.loss(loss, 0)
            loss.backward()
            return loss

        optimizer.step(closure)
    entries = mode.course().entries
    assert [entry.call for entry in entries if isinstance(entry, Began)] == [0, 1, 2]
    assert not any(isinstance(entry, Op) and "_foreach" in entry.name for entry in entries)


def test_a_call_that_ends_by_an_exception_is_closed_by_the_next() -> None:
    class Caught(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            try:
                self.last(x[:, :2])
            except RuntimeError:
                x = x * 1
            out: Tensor = self.last(self.first(x))
            return out

    net = Caught()
    _step(net, mode := _mode(net, max_bytes=LARGE, traced=True))
    course = mode.course()
    assert course.calls == ("", "last", "first", "last")
    assert [entry.call for entry in course.entries if isinstance(entry, Ended)] == [2, 3, 0]
    assert mode.recorded(0, {}).tape.program_names == ("backward#0",)


def test_each_op_knows_its_module_and_the_users_line() -> None:
    net = _Net()
    _step(net, mode := _mode(net, max_bytes=LARGE))
    tape = mode.recorded(0, {}).tape
    told = {op.name.split(".")[1]: (tape.calls[op.call] if op.call >= 0 else None, op.site) for op in tape.ops}
    line = _Net.forward.__code__.co_firstlineno + 1
    assert told["tanh"] == ("", f"callbacks/test_tape.py:{line}")
    assert told["addmm"] == ("last", f"callbacks/test_tape.py:{line}")
    assert told["mean"][0] is None
