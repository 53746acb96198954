"""`torch.compile`: a captured step runs as it is written, others run what was compiled, and it was compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import eval_frame
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder, compiled
from tests.conformance import harness

#: Dynamo looks at every attribute of the tensors that come into a compiled part, and imports what is deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

STEPS = 8
#: Captured with every_n_steps=3: not the steps 5 and 7.
CAPTURED = [0, 1, 2, 3, 6]


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.act(self.norm(self.linear(x))))
        return out


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.body = Body()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.stem(x)))
        return out


def _plain(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    return net, lambda x: net(x).square().mean()


def _whole(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    wrapped: Any = torch.compile(net, backend=backend)
    return wrapped, lambda x: wrapped(x).square().mean()


def _in_place(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    net.compile(backend=backend)
    return _plain(net, backend)


def _part(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    net.body = torch.compile(net.body, backend=backend)  # type: ignore[assignment]
    return _plain(net, backend)


def _part_in_place(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    net.body.compile(backend=backend)
    return _plain(net, backend)


def _method(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    net.body.forward = torch.compile(net.body.forward, backend=backend)  # type: ignore[method-assign]
    return _plain(net, backend)


def _function(net: Net, backend: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    return net, torch.compile(lambda x: net(x).square().mean(), backend=backend)


WAYS = [_whole, _in_place, _part, _part_in_place, _method, _function]
#: What is compiled in these, seen from the network.
INSIDE = {_whole: "", _in_place: "", _part: "body", _part_in_place: "body", _method: "body", _function: ""}


@dataclass
class Trained:
    net: Net
    losses: list[float]
    random: Tensor
    compilations: dict[str, dict[str, int]]


def trained(way: Any, directory: Path | None = None, *, compile_optimizer: bool = False, **options: Any) -> Trained:
    torch._dynamo.reset()
    counters.clear()
    backend = CompileCounterWithBackend("aot_eager")
    torch.manual_seed(0)
    net = Net()
    module, loss_of = way(net, backend)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    step = torch.compile(optimizer.step, backend=backend) if compile_optimizer else optimizer.step
    losses = []
    recorded = Recorder(module, directory, every_n_steps=3, **options) if directory else nullcontext()
    with recorded as recorder:
        for _ in range(STEPS):
            x = torch.randn(5, 6)
            with recorder.step(x) if recorder else nullcontext():
                loss = loss_of(x)
                if recorder:
                    recorder.log(loss=loss)
                loss.backward()
                step()
                optimizer.zero_grad()
            losses.append(loss.item())
    assert recorder is None or recorder.failure is None
    stats = {name: dict(counters[name]) for name in ("stats", "frames", "unimplemented", "graph_break")}
    return Trained(net, losses, torch.get_rng_state(), stats)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What was compiled here is no other test's."""
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("way", WAYS)
def test_captured_steps_run_as_written_and_nothing_is_compiled_anew(way: Any, tmp_path: Path) -> None:
    without = trained(way)
    captured = trained(way, tmp_path / "compiled")
    trained(_plain, tmp_path / "plain")
    assert without.compilations["stats"]["unique_graphs"] == 1
    assert captured.compilations == without.compilations
    np.testing.assert_allclose(captured.losses, without.losses, rtol=1e-5)
    with Run(tmp_path / "compiled") as run, Run(tmp_path / "plain") as plain:
        assert run.steps.tolist() == CAPTURED
        assert set(run.keys) == set(plain.keys)
        assert {key.node for key in run.keys} >= {"stem", "body.linear", "body.norm", "body.act", "body.drop", "head"}
        for key in run.keys:
            np.testing.assert_allclose(run.read(key, slice(None)), plain.read(key, slice(None)), rtol=1e-4, atol=1e-6)
        assert run.graph is not None
        assert {edge.target for edge in run.graph.edges} >= {"body.linear", "body.drop", "head"}


@pytest.mark.parametrize("way", WAYS)
def test_skipped_modules_are_recorded_by_their_weights_and_the_training_is_bit_equal(way: Any, tmp_path: Path) -> None:
    without = trained(way)
    captured = trained(way, tmp_path, compiled="skip")
    assert captured.compilations == without.compilations
    assert captured.losses == without.losses
    assert torch.equal(captured.random, without.random)
    for name, value in without.net.state_dict().items():
        assert torch.equal(value, captured.net.state_dict()[name]), name
    quantities: dict[str, set[str]] = {}
    with Run(tmp_path) as run:
        assert run.steps.tolist() == CAPTURED
        for key in run.keys:
            quantities.setdefault(key.node, set()).add(key.quantity)
    of_weights = {"weight", "weight_gradient", "update"}
    for node in ("stem", "head", "body.linear", "body.norm"):
        inside = node.startswith(INSIDE[way])
        assert quantities[node] == (of_weights if inside else of_weights | {"activation", "gradient"}), node
    assert "body.act" not in quantities


def test_what_is_compiled_elsewhere_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(_function, tmp_path, compiled="skip")
    assert len([r for r in caplog.records if "nothing inside Net is compiled" in r.message]) == 1


@pytest.mark.parametrize("mode", ["eager", "skip"])
def test_a_compiled_optimizer(mode: str, tmp_path: Path) -> None:
    without = trained(_whole, compile_optimizer=True)
    captured = trained(_whole, tmp_path, compile_optimizer=True, compiled=mode)
    assert captured.compilations["stats"] == without.compilations["stats"]
    np.testing.assert_allclose(captured.losses, without.losses, rtol=1e-5)
    with Run(tmp_path) as run:
        assert {key.node for key in run.keys if key.quantity == "update"} == {
            "stem",
            "body.linear",
            "body.norm",
            "head",
        }


@pytest.mark.parametrize("stance", ["default", "eager_on_recompile", "force_eager"])
def test_the_users_own_stance_is_restored(stance: str, tmp_path: Path) -> None:
    net: Any = torch.compile(Net(), backend="eager")
    with torch.compiler.set_stance(stance), Recorder(net, tmp_path, every_n_steps=3) as recorder:
        for step in range(6):
            with recorder.step():
                assert eval_frame._stance.stance == ("force_eager" if step in CAPTURED else stance)
                net(torch.randn(5, 6)).sum().backward()
            assert eval_frame._stance.stance == stance
        with pytest.raises(KeyboardInterrupt), recorder.step():
            raise KeyboardInterrupt
        assert eval_frame._stance.stance == stance


def test_disabled_functions_are_not_taken_for_compiled_ones() -> None:
    net = Net()
    net.body.forward = torch.compiler.disable(net.body.forward)  # type: ignore
    net.head = torch.compile(net.head, backend="eager")  # type: ignore[assignment]
    inside = compiled.inside(net)
    assert net.body not in inside
    assert net.head in inside


@pytest.mark.parametrize("mode", ["eager", "skip"])
def test_lightning_with_a_compiled_module(framework: Any, mode: str, tmp_path: Path) -> None:
    def fit(*callbacks: Any) -> tuple[dict[str, Tensor], dict[str, int]]:
        torch._dynamo.reset()
        counters.clear()

        class Training(framework.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.net = Net()

            def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
                loss: Tensor = self.net(batch).square().mean()
                return loss

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), 0.01)

        torch.manual_seed(0)
        module: Any = torch.compile(Training(), backend="aot_eager")
        batches: Any = DataLoader(torch.randn(STEPS, 5, 6), batch_size=None)  # type: ignore[arg-type]
        harness.quietly(harness.quietly(harness.trainer, framework, tmp_path, *callbacks).fit, module, batches)
        return module.state_dict(), dict(counters["stats"])

    state, stats = fit()
    monitored, its = fit(DynamicsMonitor(3, log_dir=tmp_path / "run", compiled=mode))
    assert its["unique_graphs"] == stats["unique_graphs"]
    assert state.keys() == monitored.keys()
    for name, value in state.items():
        if mode == "skip":
            assert torch.equal(value, monitored[name]), name
        else:
            torch.testing.assert_close(value, monitored[name], rtol=1e-4, atol=1e-6)
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == [*CAPTURED, 7]
        nodes = {key.node for key in run.keys if key.quantity == "activation"}
        assert nodes == (set() if mode == "skip" else {f"net.{name}" for name in _LEAVES})
        assert {key.node for key in run.keys if key.quantity == "update"} == {f"net.{name}" for name in _WEIGHTED}


_LEAVES = ("stem", "body.linear", "body.norm", "body.act", "body.drop", "head")
_WEIGHTED = ("stem", "body.linear", "body.norm", "head")
