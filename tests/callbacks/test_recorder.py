from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from dgm_tb.errors import UsageError
from dgm_tb.moments import COUNT, DERIVED, MEAN, REDUCTIONS
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder, moments
from tests.callbacks.oracles import slow_moments


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def _train(net: nn.Sequential, recorder: Recorder, steps: int, *, micro: int = 1) -> list[float]:
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    seen = []
    for _ in range(steps):
        for k in range(micro):
            with recorder.step(x := torch.randn(5, 3), stepped=k == micro - 1):
                loss = net(x).square().mean()
                recorder.log(loss=loss)
                loss.backward()
                if k == micro - 1:
                    optimizer.step()
                    optimizer.zero_grad()
            seen.append(float(loss.detach()))
    return seen


def _read(run: Run, node: str, quantity: str) -> Any:
    return run.read(RowKey(node, "backward#0", quantity), slice(None))


def _hooked(net: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_bare_loop_is_recorded(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=4) as recorder:
        seen = _train(net, recorder, 10)
    assert not _hooked(net)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 8]
        assert run.losses.steps.tolist() == list(range(10))
        np.testing.assert_allclose(run.losses.values[0], seen, rtol=1e-6)
        assert run.end_reason == "finished"
        assert run.problems == ()
        assert {key.quantity for key in run.keys} == {"activation", "gradient", "weight", "weight_gradient", "update"}


def test_a_layers_change_is_from_the_snapshot_before(tmp_path: Path) -> None:
    with Recorder(net := _net(), tmp_path, every_n_steps=2) as recorder:
        _train(net, recorder, 9)
    with Run(tmp_path) as run:
        key = RowKey("0", "backward#0", "activation")
        means = run.read(key, slice(None))[MEAN].astype(np.float64)
        change = run.aggregates([key], slice(None))[0, :, DERIVED.index("mean"), REDUCTIONS.index("change")]
        assert np.isnan(change[0])
        np.testing.assert_allclose(change[1:], np.sqrt((np.diff(means, axis=0) ** 2).mean(axis=1)), rtol=1e-5)


def test_the_numbers_are_those_of_the_step(tmp_path: Path) -> None:
    net = _net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    x = torch.randn(6, 3)
    expected: dict[tuple[str, str], tuple[Tensor, int]] = {}
    with Recorder(net, tmp_path) as recorder, recorder.step(x):
        weight, bias = net.get_parameter("0.weight"), net.get_parameter("0.bias")
        before = weight.detach().clone()
        net(x).square().mean().backward()
        assert weight.grad is not None
        assert bias.grad is not None
        gradient = weight.grad.clone()
        optimizer.step()
        expected = {
            ("0", "weight"): (before, 0),
            ("0", "weight_gradient"): (gradient, 0),
            ("0", "update"): (weight.detach() - before, 0),
        }
    with torch.no_grad():
        weight.copy_(before)
        bias.add_(0.1 * bias.grad)
    expected["0", "activation"] = net[0](x), 1
    norm = torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()
    with Run(tmp_path) as run:
        for (node, quantity), (values, axis) in expected.items():
            np.testing.assert_allclose(
                _read(run, node, quantity)[:, 0],
                slow_moments(values, axis, quantity == "activation"),
                rtol=1e-4,
                atol=1e-6,
                err_msg=quantity,
            )
        assert run.context[0, CONTEXT.index("gradient_norm")] == pytest.approx(float(norm), rel=1e-5)


def test_micro_batches_merge_and_their_losses_are_averaged(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        seen = _train(net, recorder, 3, micro=2)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2]
        assert {key.program for key in run.keys} == {"backward#0"}
        assert _read(run, "0", "activation")[COUNT].tolist() == [[10.0] * 4] * 3
        assert _read(run, "0", "weight")[COUNT].tolist() == [[3.0] * 4] * 3
        np.testing.assert_allclose(run.losses.values[0], np.reshape(seen, (3, 2)).mean(1), rtol=1e-5)


def test_a_gradient_that_does_not_arrive_is_count_0(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for frozen in (False, True):
            net[0].requires_grad_(not frozen)
            with recorder.step():
                net(torch.randn(2, 3)).sum().backward()
    with Run(tmp_path) as run:
        assert _read(run, "0", "gradient")[COUNT].tolist() == [[2.0] * 4, [0.0] * 4]
        assert _read(run, "2", "gradient")[COUNT].tolist() == [[2.0], [2.0]]


def test_new_rows_begin_a_segment_and_earlier_ones_are_absent_there(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 4)})
    with Recorder(net, tmp_path, every_n_steps=1, quantities=["activation"]) as recorder:
        for name in ("a", "b", "a"):
            with recorder.step():
                net[name](torch.randn(5, 2))
    with Run(tmp_path) as run:
        assert _read(run, "a", "activation")[COUNT, :, 0].tolist() == [5, 0, 5]
        assert _read(run, "b", "activation")[COUNT, :, 0].tolist() == [0, 5, 0]
        assert [node.name for node in run.nodes if node.kind == "module"] == ["a", "b"]


def test_a_row_that_changes_its_units_is_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = nn.Sequential(nn.ReLU())
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for length in (4, 5, 6, 4):
            with recorder.step():
                net(torch.randn(2, length))
    assert len([r for r in caplog.records if "another number of units" in r.message]) == 1
    with Run(tmp_path) as run:
        assert _read(run, "0", "activation")[COUNT, :, 0].tolist() == [2, 0, 0, 2]


def test_an_error_inside_a_hook_ends_the_recording_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        _train(net, recorder, 2)
        monkeypatch.setattr(moments, "reduce", lambda *a, **k: 1 / 0)
        _train(net, recorder, 3)
        assert not _hooked(net)
        assert not recorder.recording
    assert isinstance(recorder.failure, ZeroDivisionError)
    assert len([r for r in caplog.records if "the training goes on" in r.message]) == 1
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1]
        assert run.end_reason == "ZeroDivisionError: division by zero"


def test_an_unwritable_directory_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    net = _net()
    with Recorder(net, tmp_path / "file" / "run") as recorder:
        _train(net, recorder, 3)
    assert [r.levelno for r in caplog.records if r.name == "lightning_callbacks"] == [logging.WARNING]
    assert "the training goes on" in caplog.text


def test_a_directory_that_vanishes_ends_the_recording(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        recorder._writer._session.write = lambda record: (_ for _ in ()).throw(OSError("disk full"))  # type: ignore
        _train(net, recorder, 30)
        recorder._writer._thread.join(10)  # type: ignore[union-attr]
        _train(net, recorder, 1)
        assert not recorder.recording
    assert isinstance(recorder.failure, OSError)


def test_an_exception_of_the_training_passes_and_leaves_a_readable_run(tmp_path: Path) -> None:
    net = _net()
    with pytest.raises(KeyboardInterrupt), Recorder(net, tmp_path, every_n_steps=1) as recorder:  # noqa: PT012
        _train(net, recorder, 2)
        with recorder.step():
            net(torch.randn(2, 3))
            raise KeyboardInterrupt
    assert not _hooked(net)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1]
        assert run.end_reason == "exception"


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="every_n_steps=0"):
        Recorder(_net(), tmp_path, every_n_steps=0)
    with pytest.raises(UsageError, match="exclude"):
        Recorder(_net(), tmp_path, exclude="nothing like it")
    assert not list(tmp_path.iterdir())


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails where something would wait for a device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "is_nonzero"), name
        return func(*args, **(kwargs or {}))


class _WatchCalls(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert getattr(func, "__name__", "") not in ("item", "cpu", "tolist", "__float__", "__bool__"), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_nothing_waits_for_a_device_on_a_captured_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    if elsewhere:  # the reductions that another device than the CPU runs

        def reduce(tensor: Tensor, axis: int, sampled: bool) -> Tensor:
            return moments._reduce_torch(*moments._cube(tensor, axis, sampled))

        monkeypatch.setattr(moments, "reduce", reduce)
    net = _net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for _ in range(3):
            watch = _Watch()  # type: ignore[no-untyped-call]
            with watch, _WatchCalls(), recorder.step(x := torch.randn(5, 3)):
                loss = net(x).square().mean()
                recorder.log(loss=loss)
                loss.backward()
                optimizer.step()
    assert recorder.failure is None
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2]


def test_steps_between_captures_have_no_hooks(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=50) as recorder:
        _train(net, recorder, 3)
        with recorder.step():
            assert recorder.step_index == 3
            assert not _hooked(net)
