"""Optimizers that do more than one step with the gradients that are there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_tb.moments import COUNT, MAX, MEAN, MIN
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder
from tests.callbacks.oracles import slow_moments
from tests.conformance import cases, harness


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))


def _trained(
    directory: Path | None, make: Callable[[Any], Optimizer], *, closure: bool = False, steps: int = 3
) -> tuple[nn.Sequential, list[Tensor], list[int]]:
    """The net, the changes of its first weight, and how often each step ran backward."""
    net = _net()
    optimizer = make(net.parameters())
    changes, passes = [], []
    with Recorder(net, directory, every_n_steps=1) if directory else nullcontext() as recorder:
        for _ in range(steps):
            x = torch.randn(5, 6)
            count = [0]

            def evaluate(x: Tensor = x, count: list[int] = count) -> Tensor:
                count[0] += 1
                optimizer.zero_grad()
                loss: Tensor = net(x).square().mean()
                loss.backward()
                return loss

            before = net.get_parameter("0.weight").detach().clone()
            with recorder.step(x) if recorder else nullcontext():
                if closure:
                    optimizer.step(evaluate)  # type: ignore[arg-type]
                else:
                    evaluate()
                    optimizer.step()
            changes.append(net.get_parameter("0.weight").detach() - before)
            passes.append(count[0])
    assert recorder is None or recorder.failure is None
    return net, changes, passes


def _assert_updates(directory: Path, changes: list[Tensor], programs: list[str]) -> None:
    with Run(directory) as run:
        for step, (change, program) in enumerate(zip(changes, programs, strict=True)):
            row = run.read(RowKey("0", program, "update"), slice(step, step + 1))[:, 0]
            expected = slow_moments(change, 0, False)
            for statistic in (COUNT, MEAN, MIN, MAX):
                np.testing.assert_allclose(row[statistic], expected[statistic], rtol=1e-3, atol=1e-7)


def test_a_closure_is_evaluated_as_often_as_it_pleases(tmp_path: Path) -> None:
    """Each evaluation is a program; what the optimizer did stands under the last of its step."""

    def lbfgs(parameters: Any) -> Optimizer:
        return torch.optim.LBFGS(parameters, lr=0.5, max_iter=3)

    plain, _, _ = _trained(None, lbfgs, closure=True)
    net, changes, passes = _trained(tmp_path, lbfgs, closure=True)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name
    assert min(passes) > 1
    _assert_updates(tmp_path, changes, [f"backward#{count - 1}" for count in passes])
    with Run(tmp_path) as run:
        for quantity in ("weight", "weight_gradient", "update"):
            assert {key.program for key in run.keys if key.quantity == quantity} == {
                f"backward#{count - 1}" for count in passes
            }, quantity
        for program in range(min(passes)):
            row = run.read(RowKey("0", f"backward#{program}", "gradient"), slice(None))
            assert (row[COUNT] == 5).all()


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str)
def test_the_ways_in_which_adam_runs(options: dict[str, Any], tmp_path: Path) -> None:
    def adam(parameters: Any) -> Optimizer:
        return torch.optim.Adam(parameters, 0.01, **options)

    plain, _, _ = _trained(None, adam)
    net, changes, _ = _trained(tmp_path, adam)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, net.state_dict()[name]), name
    _assert_updates(tmp_path, changes, ["backward#0"] * 3)


class Lookahead(Optimizer):
    """An optimizer around an optimizer: after every other step it goes halfway back to where it was."""

    def __init__(self, parameters: Any) -> None:
        self.inner = torch.optim.SGD(list(parameters), 0.5)
        super().__init__(self.inner.param_groups, {})
        self.slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]
        self.steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.inner.step()
        self.steps += 1
        if self.steps % 2 == 0:
            with torch.no_grad():
                for slow, parameter in zip(self.slow, self.param_groups[0]["params"], strict=True):
                    slow.lerp_(parameter, 0.5)
                    parameter.copy_(slow)


def test_an_optimizer_around_an_optimizer_counts_once(tmp_path: Path) -> None:
    _, changes, _ = _trained(tmp_path, Lookahead)
    _assert_updates(tmp_path, changes, ["backward#0"] * 3)
    with Run(tmp_path) as run:
        assert (run.read(RowKey("0", "backward#0", "weight"), slice(None))[COUNT] == 6).all()


def test_lbfgs_under_lightning(pl: Any, tmp_path: Path) -> None:
    class Training(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = _net()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss: Tensor = self.net(batch[0]).square().mean()
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.5, max_iter=2)

    def train(*callbacks: Any) -> dict[str, Tensor]:
        module: nn.Module = Training()
        training = harness.quietly(harness.trainer, pl, tmp_path, *callbacks)
        harness.quietly(training.fit, module, harness.Batches(cases.MLP))
        return module.state_dict()

    without = train()
    recorded = train(harness.monitor(cases.MLP, tmp_path / "run"))
    for name, value in without.items():
        assert torch.equal(value, recorded[name]), name
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
        assert {"weight", "weight_gradient", "update"} <= {key.quantity for key in run.keys}


@pytest.mark.parametrize("name", ["StochasticWeightAveraging", "EMAWeightAveraging"])
def test_averaged_weights(pl: Any, name: str, tmp_path: Path) -> None:
    """The weights that are recorded are those that are trained, not the averages."""

    def averaging() -> Any:
        if name == "StochasticWeightAveraging":
            return pl.callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
        return pl.callbacks.EMAWeightAveraging(decay=0.9)

    without = harness.by_lightning(pl, cases.CNN, tmp_path, averaging(), max_epochs=3)
    captured = harness.by_lightning(
        pl, cases.CNN, tmp_path, averaging(), harness.monitor(cases.CNN, tmp_path / "run"), max_epochs=3
    )
    assert without.losses == captured.losses
    for path, value in without.state.items():
        assert torch.equal(value, captured.state[path]), path
    assert torch.equal(without.random, captured.random)
    batches = harness.Batches(cases.CNN, copies=3)
    with Run(tmp_path / "run") as run:
        # Lightning's SWA passes all batches forward once more for the batch norms, and counts that as a step.
        assert run.steps.tolist() == list(range(len(batches) + (name == "StochasticWeightAveraging")))
        assert {key.node for key in run.keys} == {f"network.{path}" for path in cases.CNN.outputs}
        if name == "EMAWeightAveraging":  # the other also changes the learning rate
            _, steps = harness.by_the_oracle(cases.CNN, batches)
            for key in [key for key in run.keys if key.quantity in ("weight", "update")]:
                for step, expected in enumerate(steps):
                    found = run.read(key, slice(step, step + 1))[:, 0]
                    harness.assert_row(found, expected.rows.get(key), f"{key.tag} {step}")


def test_a_copy_of_the_model_is_no_part_of_it(tmp_path: Path) -> None:
    """An average, and a copy that is made while the model is hooked: nobody asked for them, and they can be saved."""
    net = _net()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        average = torch.optim.swa_utils.AveragedModel(net)
        for _ in range(3):
            with recorder.step():
                twin = copy.deepcopy(net)
                (net(torch.randn(5, 6)) - average(torch.randn(5, 6)).detach()).square().mean().backward()
                twin(torch.randn(7, 6))
                optimizer.step()
                average.update_parameters(net)
                optimizer.zero_grad()
            torch.save(twin, tmp_path / "twin.pt")
    assert recorder.failure is None
    with Run(tmp_path) as run:
        assert {key.node for key in run.keys} == {"0", "1", "2"}
        assert run.graph is not None
        assert [node.calls for node in run.graph.nodes if node.kind == "module"] == [1, 1, 1]
        assert (run.read(RowKey("0", "backward#0", "activation"), slice(None))[COUNT] == 5).all()
