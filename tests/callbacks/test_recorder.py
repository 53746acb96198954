from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from dgm_tb.errors import UsageError
from dgm_tb.moments import COUNT, DERIVED, M2, MAX, MEAN, MIN, NONFINITE, REDUCTIONS
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from dgm_tb.store.writer import RunWriter
from lightning_callbacks import Group, Recorder, moments
from tests.callbacks.networks import Gan, Gru
from tests.callbacks.oracles import slow_moments
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("unbroken")


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


@pytest.mark.usefixtures("degrading")
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


@pytest.mark.usefixtures("degrading")
def test_an_unwritable_directory_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    net = _net()
    with Recorder(net, tmp_path / "file" / "run") as recorder:
        _train(net, recorder, 3)
    assert [r.levelno for r in caplog.records if r.name == "lightning_callbacks"] == [logging.WARNING]
    assert "the training goes on" in caplog.text


def _removed(directory: Path) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


@pytest.mark.usefixtures("degrading")
def test_a_directory_that_vanishes_ends_the_recording(tmp_path: Path) -> None:
    net = _net()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        _train(net, recorder, 2)
        until(lambda: [*tmp_path.rglob("journal-*")])
        # While it is removed the writer may put a file into it.
        until(lambda: _removed(tmp_path / "plugins"))

        def failed() -> Exception | None:
            _train(net, recorder, 1)
            return recorder.failure

        assert isinstance(until(failed), OSError)
        assert not recorder.recording


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


class _Watch(TorchDispatchMode):
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
            tensor, shape, per_sample = moments._in_order(tensor, axis, sampled)
            return moments._reduce_torch(tensor.view(shape), per_sample)

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


def test_only_the_chosen_statistics_are_stored(tmp_path: Path) -> None:
    for statistics in ("all", "std"):
        torch.manual_seed(0)
        with Recorder(net := _net(), tmp_path / statistics, every_n_steps=2, statistics=statistics) as recorder:
            _train(net, recorder, 5)
    key = RowKey("0", "backward#0", "activation")
    with Run(tmp_path / "all") as whole, Run(tmp_path / "std") as few:
        every, kept = (run.read(key, slice(None)) for run in (whole, few))
        for channel in (COUNT, MEAN, M2, NONFINITE):
            np.testing.assert_array_equal(kept[channel], every[channel])
        assert np.isnan(kept[[MIN, MAX]]).all()
        layers = [run.aggregates([key], slice(None)) for run in (whole, few)]
        np.testing.assert_array_equal(layers[0], layers[1])
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).rglob("journal-*")) for name in ("all", "std")]
    assert sizes[1] < sizes[0]


def test_groups_are_captured_at_their_own_steps(tmp_path: Path) -> None:
    groups: dict[str | type[nn.Module], Group] = {
        nn.ReLU: Group(every_n_steps=6, quantities=["activation"]),
        "^2$": Group(quantities=["weight"]),
    }
    with Recorder(net := _net(), tmp_path, every_n_steps=4, groups=groups) as recorder:
        _train(net, recorder, 14)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 6, 8, 12]
        relu, first, last = (
            _read(run, node, quantity)[COUNT, :, 0]
            for node, quantity in (("1", "activation"), ("0", "activation"), ("2", "weight"))
        )
        assert relu.tolist() == [5, 5, 5, 5, 5, 0, 5]  # 0, 1, 2, 4, 6, 12
        assert first.tolist() == [5, 5, 5, 5, 0, 5, 5]  # 0, 1, 2, 4, 8, 12
        assert last.tolist() == [4, 4, 4, 4, 0, 4, 4]
        assert {key.quantity for key in run.keys if key.node == "1"} == {"activation"}
        assert {key.quantity for key in run.keys if key.node == "2"} == {"weight"}
        norms = run.context[:, CONTEXT.index("gradient_norm")]
        assert np.isfinite(norms).all()  # also where no weight gradient was due
        assert (norms > 0).all()
        assert len(list(tmp_path.rglob("segment-*"))) == 1


def test_the_gradient_norm_is_that_of_all_parameters_whatever_is_due(tmp_path: Path) -> None:
    norms = []
    for name, groups in (("all", None), ("few", {"^0$": Group(every_n_steps=3)})):
        torch.manual_seed(0)
        with Recorder(net := _net(), tmp_path / name, every_n_steps=1, groups=groups) as recorder:
            _train(net, recorder, 8)
        with Run(tmp_path / name) as run:
            norms.append(run.context[:, CONTEXT.index("gradient_norm")])
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)


def test_the_calls_of_a_loop_can_be_kept_apart(tmp_path: Path) -> None:
    net = Gru()
    with Recorder(net, tmp_path, every_n_steps=1, calls={r"cell\.gates": 9, r"cell\.new": 3}) as recorder:
        for length in (5, 7):
            with recorder.step():
                loss: Tensor = net.loss((torch.randn(4, length, 3), torch.zeros(4, dtype=torch.long)))
                loss.backward()
    with Run(tmp_path) as run:
        gates = [_read(run, "cell.gates" + (f"#{k}" if k else ""), "activation")[COUNT, :, 0] for k in range(9)]
        assert np.transpose(gates).tolist() == [[4.0] * 5 + [0.0] * 4, [4.0] * 7 + [0.0] * 2]
        new = [_read(run, "cell.new" + (f"#{k}" if k else ""), "gradient")[COUNT, :, 0] for k in range(3)]
        assert np.transpose(new).tolist() == [[4, 4, 12], [4, 4, 20]]  # the later ones merge into the last
        assert len(list(tmp_path.rglob("segment-*"))) == 1  # a longer loop needed no new layout


def test_roles_stand_in_the_nodes_and_in_the_graph(tmp_path: Path) -> None:
    with Recorder(net := _net(), tmp_path, roles={"2": "logits"}) as recorder:
        _train(net, recorder, 1)
    with Run(tmp_path) as run:
        assert {node.name: node.role for node in run.nodes if node.kind == "module"} == {
            "0": "",
            "1": "",
            "2": "logits",
        }
        assert run.graph is not None
        assert {node.name: node.role for node in run.graph.nodes}["2"] == "logits"


def _train_on(net: nn.Module, recorder: Recorder, losses_of: Any, steps: int) -> None:
    """SGD that never changes much, with each step's loss multiplied by ``losses_of(step)``."""
    optimizer = torch.optim.SGD(net.parameters(), 1e-9)
    for step in range(steps):
        with recorder.step():
            loss = net(torch.ones(5, 3)).square().mean() * losses_of(step)
            recorder.log(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_after_a_spike_every_step_is_captured_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Recorder(net := _net(), tmp_path, every_n_steps=50) as recorder:
        _train_on(net, recorder, lambda step: 1 + 0.01 * (step % 5) + 9 * (step == 77), 160)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 8, 16, 32, 50, *range(78, 110), 150]
        column = run.losses.columns.index("dgm/spike")
        assert run.losses.steps[run.losses.logged[column]].tolist() == [77]
        assert run.losses.values[column][77] > 6
    assert "deviations at step 77; the steps up to 109 are captured" in caplog.text


def test_when_the_loss_turns_nan_that_steps_weights_are_recorded_and_the_next_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = _net()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    with Recorder(net, tmp_path, every_n_steps=50) as recorder:
        _train_on(net, recorder, lambda step: math.nan if step == 21 else 1.0, 70)
        assert not _hooked(net)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 8, 16, *range(21, 70)]
        at = 6
        assert _read(run, "0", "activation")[COUNT][at].tolist() == [0.0] * 4  # the forward pass was over
        weight = _read(run, "0", "weight")[:, at]
        np.testing.assert_allclose(weight, slow_moments(before[0], 0, False), rtol=1e-5, atol=1e-7)
        assert _read(run, "2", "weight_gradient")[NONFINITE][at].tolist() == [4.0]
        assert _read(run, "2", "update")[NONFINITE][at].tolist() == [4.0]
        assert math.isnan(run.context[at, CONTEXT.index("gradient_norm")])
        assert _read(run, "2", "activation")[NONFINITE][at + 1].tolist() == [5.0]
        column = run.losses.columns.index("dgm/non-finite")
        assert run.losses.steps[run.losses.logged[column]].tolist() == [21]
        assert len(list(tmp_path.rglob("segment-*"))) == 1
    assert caplog.text.count("the loss is nan at step 21") == 1


def test_a_bad_second_loss_is_recorded_under_its_own_program(tmp_path: Path) -> None:
    net = Gan()
    optimizers = [torch.optim.SGD(part.parameters(), 1e-9) for part in (net.discriminator, net.generator)]
    with Recorder(net, tmp_path, every_n_steps=50) as recorder:
        for step in range(6):
            with recorder.step():
                for k, (optimizer, loss_of) in enumerate(zip(optimizers, net.losses(torch.ones(3, 4)), strict=True)):
                    loss = loss_of() * (math.nan if (step, k) == (3, 1) else 1)
                    recorder.log(loss=loss)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 3, 4, 5]
        key = RowKey("generator.2", "backward#1", "weight_gradient")
        assert run.read(key, slice(None))[NONFINITE][3].tolist() == [6.0] * 4
        assert {k.program for k in run.keys if k.quantity == "update" and "generator" in k.node} == {"backward#1"}
        assert {k.program for k in run.keys if k.quantity == "update" and "discriminator" in k.node} == {"backward#0"}


def test_programs_are_told_apart_where_only_weights_are_recorded(tmp_path: Path) -> None:
    net = Gan()
    optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in (net.discriminator, net.generator)]
    with Recorder(net, tmp_path, quantities="update") as recorder, recorder.step():
        for optimizer, loss_of in zip(optimizers, net.losses(torch.ones(3, 4)), strict=True):
            recorder.log(loss=(loss := loss_of()))
            loss.backward()
            optimizer.step()
    with Run(tmp_path) as run:
        assert {(key.node.split(".")[0], key.program) for key in run.keys} == {
            ("discriminator", "backward#0"),
            ("generator", "backward#1"),
        }


def test_a_training_that_stays_nan_is_not_captured_for_ever(tmp_path: Path) -> None:
    with Recorder(net := _net(), tmp_path, every_n_steps=100) as recorder:
        _train_on(net, recorder, lambda step: math.nan if step > 70 else 1.0, 320)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 8, 16, 32, 64, *range(71, 200), 200, 300]


def test_the_writer_says_how_much_rarer_captures_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protected = []
    monkeypatch.setattr(RunWriter, "stretch", 3)
    monkeypatch.setattr(RunWriter, "protect", lambda writer, first, last: protected.append((first, last)))
    with Recorder(net := _net(), tmp_path, every_n_steps=20) as recorder:
        _train_on(net, recorder, lambda step: 1 + 0.01 * (step % 5) + 9 * (step == 170), 260)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 8, 16, 60, 120, *range(171, 203), 240]
    assert protected == [(50, 298)]


def test_a_small_budget_is_kept(tmp_path: Path) -> None:
    budget = 400_000
    net = nn.Sequential(nn.Linear(3, 200), nn.ReLU(), nn.Linear(200, 200))
    with Recorder(net, tmp_path, every_n_steps=1, max_disk=budget) as recorder:
        _train_on(net, recorder, lambda step: 1.0, 300)
        assert recorder.failure is None
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 1.05 * budget
    with Run(tmp_path) as run:
        assert len(run.steps)
        assert len(run.losses.steps) == 300
