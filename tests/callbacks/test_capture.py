from __future__ import annotations

from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from dgm_tb.records import QUANTITIES, Node, RowKey
from lightning_callbacks import model, options
from lightning_callbacks.capture import Capture

#: ATen calls for whose result the host would have to wait for a device.
WAITING: Final = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "_to_copy.cpu", "unique")


class _Watch(TorchDispatchMode):
    """Notes every ATen call, and whether it copies to the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func.overloadpacket.__name__)
        target = (kwargs or {}).get("device")
        if func.overloadpacket.__name__ in ("_to_copy", "copy_") and target is not None:
            self.seen.append(f"_to_copy.{torch.device(target).type}")
        return func(*args, **(kwargs or {}))


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.up, self.fc = nn.ConvTranspose2d(4, 3, 2), nn.Linear(75, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.up(self.relu(self.norm(self.conv(x)))).flatten(1)[:, :75])
        return y


def _raise(error: Exception) -> None:
    raise error


def _capture(
    net: nn.Module, due: dict[str, frozenset[str]] | None = None, *, traced: bool = False, taped: int = 0
) -> Capture:
    surveyed = model.survey(net, options.parse())
    every = dict.fromkeys(surveyed.shares, frozenset(QUANTITIES))
    return Capture(
        surveyed,
        due=every if due is None else due,
        traced=traced,
        lightning=False,
        memory={},
        failed=_raise,
        taped=taped,
    )


def _step(net: nn.Module, capture: Capture | None) -> _Watch:
    optimizer = torch.optim.Adam(net.parameters())
    torch.manual_seed(0)
    x = torch.randn(6, 2, 6, 6)
    watch = _Watch()
    with watch:
        if capture is not None:
            capture.begin(x)
        loss = net(x).square().mean()
        if capture is not None:
            capture.loss(loss)
        loss.backward()
        optimizer.step()
        if capture is not None:
            capture.end()
    return watch


def _waits(watch: _Watch) -> list[str]:
    return [name for name in watch.seen if name in WAITING]


def test_nothing_waits_for_a_device_on_a_captured_step() -> None:
    net = _Net()
    plain = _waits(_step(net, None))  # the optimizer's own, if any
    capture = _capture(net)
    assert _waits(_step(net, capture)) == plain
    assert {key.quantity for key, _ in capture.rows} == set(QUANTITIES)


def test_a_call_that_waits_would_be_seen() -> None:
    with _Watch() as watch:
        torch.ones(2).sum().item()
        torch.ones(2).nonzero()
    assert _waits(watch) == ["_local_scalar_dense", "nonzero"]


def test_elsewhere_than_on_the_cpu_nothing_waits_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of other devices, on CPU tensors."""
    from lightning_callbacks import moments

    def as_elsewhere(tensor: Tensor, axis: int, sampled: bool) -> Tensor:
        tensor, shape, per_sample = moments._in_order(tensor.float(), axis, sampled)
        return moments._reduce_torch(tensor.reshape(shape), per_sample)

    monkeypatch.setattr(moments, "reduce", as_elsewhere)
    monkeypatch.setattr(moments, "one_run_a_unit", lambda cube: False)
    net = _Net()
    plain = _waits(_step(net, None))
    assert _waits(_step(net, _capture(net))) == plain


def test_only_what_is_due_is_recorded() -> None:
    net = _Net()
    capture = _capture(net, {"conv": frozenset({"activation"}), "fc": frozenset({"update", "gradient"})})
    _step(net, capture)
    assert {(key.node, key.quantity) for key, _ in capture.rows} == {
        ("conv", "activation"),
        ("fc", "gradient"),
        ("fc", "update"),
    }


def test_micro_batches_are_rows_of_the_same_key() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    capture = _capture(net)
    for _ in range(2):
        capture.begin(None)
        net(torch.randn(4, 3)).sum().backward()
        capture.end()
    assert [key for key, _ in capture.rows].count(RowKey("0", "backward#0", "activation")) == 2


def test_a_batch_that_was_given_up_leaves_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    capture = _capture(net)
    capture.begin(None)
    net(torch.randn(4, 3))
    capture.release()
    capture.end()
    assert capture.rows == []
    assert not net[0]._forward_hooks


def test_a_capture_that_begins_before_the_second_backward_counts_from_there() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    loss = net(torch.randn(4, 3)).sum()
    capture = _capture(net, {"0": frozenset({"weight_gradient"})})
    capture.begin(None, begun=1)
    capture.loss(loss)
    loss.backward()
    optimizer.step()
    capture.end()
    assert [key for key, _ in capture.rows] == [RowKey("0", "backward#1", "weight_gradient")]


def _described(name: str, path: str) -> Node:
    return Node(name, "", path, 1, (), (), 0, (), 1, "module")


@pytest.mark.parametrize(
    ("traced", "taped", "modes"), [(False, 0, 0), (True, 0, 1), (False, 1 << 20, 1), (True, 1 << 20, 1)]
)
def test_a_step_is_recorded_once_for_its_graph_and_its_tape(traced: bool, taped: int, modes: int) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    capture = _capture(net, traced=traced, taped=taped)
    for _ in range(2):  # micro-batches: the first is recorded
        capture.begin(x := torch.randn(4, 3))
        assert len(_get_current_dispatch_mode_stack()) == modes
        loss = net(x).sum()
        capture.loss(loss)
        loss.backward()
        capture.end()
        modes = 0
    found = capture.graph(_described, 7)
    assert (found is not None) == traced
    if found is not None:
        assert [(edge.source, edge.target) for edge in found.edges] == [("input", "0"), ("0", "1"), ("1", "loss")]
    assert (capture.tape is not None) == bool(taped)
    assert capture.untaped is None


def test_a_step_too_large_for_a_tape_still_has_its_graph() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    capture = _capture(net, traced=True, taped=1)
    capture.begin(x := torch.randn(4, 3))
    loss = net(x).sum()
    capture.loss(loss)
    loss.backward()
    capture.end()
    assert capture.tape is None
    assert capture.untaped is not None
    assert "max_deep_bytes" in capture.untaped
    assert (found := capture.graph(_described, 7)) is not None
    assert [node.name for node in found.nodes] == ["input", "0", "loss"]


def test_the_batch_after_one_that_was_given_up_is_recorded() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    capture = _capture(net, traced=True, taped=1 << 20)
    capture.begin(torch.randn(4, 3))
    capture.release()
    capture.begin(x := torch.randn(4, 3))
    net(x)
    capture.end()
    assert capture.tape is not None
    assert capture.graph(_described, 7) is not None
