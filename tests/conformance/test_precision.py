"""Reduced precision: numbers of half-precision tensors, and gradients without the scale that was put on the loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from dgm_tb.moments import COUNT, M2, MAX, MEAN, MIN, NONFINITE
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder
from tests.callbacks.oracles import slow_moments
from tests.conformance import cases, harness
from tests.conformance.cases import Case

QUANTITIES = ("activation", "gradient", "weight", "weight_gradient", "update")


def _autocast(case: Case) -> Case:
    """The case with its forward passes in bfloat16, as Lightning runs them."""

    def losses(network: Any, batch: Any) -> list[Callable[[], Tensor]]:
        def loss() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return case.losses(network, batch)[0]()

        return [loss]

    return replace(case, losses=losses)


def _cast(case: Case, dtype: torch.dtype) -> Case:
    """The case with all of its floating numbers in ``dtype``."""

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return replace(
        case, network=lambda: case.network().to(dtype), data=lambda: [cast(column) for column in case.data()]
    )


@pytest.mark.parametrize(
    ("precision", "case", "by_hand"),
    [
        ("bf16-mixed", cases.MLP, _autocast(cases.MLP)),
        ("bf16-mixed", cases.CNN, _autocast(cases.CNN)),
        ("bf16-mixed", cases.TRANSFORMER, _autocast(cases.TRANSFORMER)),
        ("bf16-true", cases.MLP, _cast(cases.MLP, torch.bfloat16)),
        ("64-true", cases.VAE, _cast(cases.VAE, torch.float64)),
    ],
    ids=lambda value: str(value) if isinstance(value, str | Case) else "",
)
def test_lightnings_precisions(pl: Any, precision: str, case: Case, by_hand: Case, tmp_path: Path) -> None:
    without = harness.by_lightning(pl, case, tmp_path, precision=precision)
    monitor = harness.monitor(case, tmp_path / "run")
    captured = harness.by_lightning(pl, case, tmp_path, monitor, precision=precision)
    harness.assert_same_training(without, captured)
    repeated, steps = harness.by_the_oracle(by_hand)
    harness.assert_same_training(repeated, without)
    with Run(tmp_path / "run") as run:
        harness.assert_recorded(run, steps)
        assert np.isnan(run.context[:, CONTEXT.index("amp_scale")]).all()


@dataclass
class Seen:
    """A training in float16 with a scaler, and what plain hooks saw of it: by layer, a list over the steps."""

    net: nn.Sequential
    losses: list[float]
    scales: list[float]
    gradients: dict[str, list[Tensor]] = field(default_factory=dict)  # of outputs, scaled
    weight_gradients: dict[str, list[Tensor]] = field(default_factory=dict)  # unscaled, before clipping
    changes: dict[str, list[Tensor]] = field(default_factory=dict)


def _half(
    directory: Path | None, *, scaler: GradScaler, steps: int = 4, clip: bool = False, fused: bool = False
) -> Seen:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), 0.01, fused=fused)
    seen = Seen(net, [], [])
    plain = directory is None
    with Recorder(net, directory, every_n_steps=1) if directory else nullcontext() as recorder:
        for _ in range(steps):
            x = torch.randn(5, 6)
            handles = _watch(net, seen) if plain else []
            with recorder.step(x) if recorder else nullcontext():
                with torch.autocast("cpu", torch.float16):
                    loss = net(x).square().mean()
                if recorder:
                    recorder.log(loss=loss)
                scaler.scale(loss).backward()
                seen.scales.append(scaler.get_scale())
                before = {name: p.detach().clone() for name, p in net.named_parameters()}
                if clip:
                    scaler.unscale_(optimizer)
                if plain:
                    factor = 1.0 if clip else scaler.get_scale()
                    for name, p in net.named_parameters():
                        assert p.grad is not None
                        seen.weight_gradients.setdefault(name, []).append(p.grad / factor)
                if clip:
                    torch.nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                for name, p in net.named_parameters():
                    seen.changes.setdefault(name, []).append(p.detach() - before[name])
            seen.losses.append(loss.item())
            for handle in handles:
                handle.remove()
    assert recorder is None or recorder.failure is None
    return seen


def _watch(net: nn.Sequential, seen: Seen) -> list[Any]:
    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def called(module: nn.Module, args: Any, output: Tensor) -> None:
            output.register_hook(lambda g: seen.gradients.setdefault(name, []).append(g.detach().clone()))

        return called

    return [module.register_forward_hook(hook(name)) for name, module in net.named_children()]


def _scaler(**changed: Any) -> GradScaler:
    return GradScaler("cpu", **{"init_scale": 2.0**10, "growth_interval": 2} | changed)


@pytest.mark.parametrize(("clip", "fused"), [(False, False), (True, False), (False, True)])
def test_gradients_are_recorded_without_the_scale(clip: bool, fused: bool, tmp_path: Path) -> None:
    plain = _half(None, scaler=_scaler(), clip=clip, fused=fused)
    recorded = _half(tmp_path, scaler=_scaler(), clip=clip, fused=fused)
    assert plain.scales == [2.0**10, 2.0**10, 2.0**11, 2.0**11]  # it grows: each step's own must be divided by
    _assert_same(plain, recorded)
    with Run(tmp_path) as run:
        assert run.context[:, CONTEXT.index("amp_scale")].tolist() == plain.scales
        for step, scale in enumerate(plain.scales):
            for node in ("0", "1", "2"):
                _assert_row(run, step, node, "gradient", plain.gradients[node][step].float() / scale, 1)
            for node in ("0", "2"):
                _assert_row(run, step, node, "weight_gradient", plain.weight_gradients[f"{node}.weight"][step], 0)
                _assert_row(run, step, node, "update", plain.changes[f"{node}.weight"][step], 0)
        norm = torch.stack([values[0].norm() for values in plain.weight_gradients.values()]).norm()
        assert run.context[0, CONTEXT.index("gradient_norm")] == pytest.approx(float(norm), rel=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skips_is_recorded_as_it_is(fused: bool, tmp_path: Path) -> None:
    """Gradients are infinite, the update is missing; a fused optimizer does step, and changes nothing."""
    overflows: dict[str, Any] = {"init_scale": 2.0**30, "backoff_factor": 2.0**-20}
    plain = _half(None, scaler=_scaler(**overflows), steps=2, fused=fused)
    recorded = _half(tmp_path, scaler=_scaler(**overflows), steps=2, fused=fused)
    assert not any(change[0].any() for change in plain.changes.values())
    _assert_same(plain, recorded)
    with Run(tmp_path) as run:
        assert run.context[:, CONTEXT.index("amp_scale")].tolist() == [2.0**30, 2.0**10]
        rows = {
            quantity: run.read(RowKey("2", "backward#0", quantity), slice(None))
            for quantity in ("activation", "gradient", "weight", "weight_gradient", "update")
        }
        for quantity in ("gradient", "weight_gradient"):
            assert (rows[quantity][NONFINITE, 0] > 0).all(), quantity
            assert not rows[quantity][NONFINITE, 1].any(), quantity
        assert (rows["weight"][COUNT] == 8).all()
        assert rows["update"][COUNT].tolist() == [[8.0 if fused else 0.0] * 3, [8.0] * 3]
        if fused:
            assert (rows["update"][MAX, 0] == 0).all()
        assert np.isnan(run.context[0, CONTEXT.index("gradient_norm")])


def test_each_backward_pass_has_the_scale_of_its_own_loss(tmp_path: Path) -> None:
    """One loss with a scaler, one without, and those of a scaled list: as penalties and second networks are trained."""
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.0)
    scaler = _scaler()
    with Recorder(net, tmp_path, every_n_steps=1) as recorder, recorder.step():
        x = torch.ones(4, 3)
        scaled = scaler.scale([net(x).sum(), net(x).mean()])
        net(x).sum().backward()
        scaled[0].backward()
        scaled[1].backward()
        optimizer.zero_grad()
        scaler.scale(net(x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    with Run(tmp_path) as run:
        means = {
            k: run.read(RowKey("Linear", f"backward#{k}", "gradient"), slice(None))[MEAN, 0].tolist() for k in range(4)
        }
    assert means == {0: [1, 1], 1: [1, 1], 2: [0.125, 0.125], 3: [1, 1]}


def test_scalers_are_left_as_they_were(tmp_path: Path) -> None:
    class Own(GradScaler):
        def scale(self, outputs: Any) -> Any:
            return super().scale(outputs)

    before = GradScaler.scale, GradScaler.unscale_, Own.scale
    recorded = _half(tmp_path, scaler=Own("cpu", init_scale=2.0**10))
    assert (GradScaler.scale, GradScaler.unscale_, Own.scale) == before
    with Run(tmp_path) as run:
        assert run.context[:, CONTEXT.index("amp_scale")].tolist() == recorded.scales
    optimizer, scaler = torch.optim.SGD(recorded.net.parameters(), 0.1), _scaler()
    with Recorder(recorded.net, tmp_path / "b") as recorder, recorder.step():
        scaler.scale(recorded.net(torch.randn(5, 6)).sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="has already been called"):
            scaler.unscale_(optimizer)
    assert (GradScaler.scale, GradScaler.unscale_, Own.scale) == before


def test_lightnings_scaler(framework: Any, tmp_path: Path) -> None:
    """Lightning makes none on the CPU by itself, but takes one."""
    plugin = framework.plugins.MixedPrecision
    seen: list[float] = []

    class Scale(framework.Callback):  # type: ignore[misc]
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append(trainer.precision_plugin.scaler.get_scale())

    def train(*callbacks: Any) -> harness.Trained:
        plugins = [plugin("16-mixed", "cpu", scaler=_scaler())]
        return harness.by_lightning(framework, cases.MLP, tmp_path, *callbacks, plugins=plugins)

    without = train(Scale())
    captured = train(harness.monitor(cases.MLP, tmp_path / "run"))
    harness.assert_same_training(without, captured)
    full = harness.by_lightning(framework, cases.MLP, tmp_path, harness.monitor(cases.MLP, tmp_path / "full"))
    assert len(full.losses) == len(seen) == 4
    with Run(tmp_path / "run") as run, Run(tmp_path / "full") as exact:
        assert run.context[:, CONTEXT.index("amp_scale")].tolist() == seen
        assert len(set(seen)) > 1
        for key in run.keys:  # float16 keeps eleven bits
            if key.quantity in ("gradient", "weight_gradient"):
                here, there = run.read(key, slice(0, 1)), exact.read(key, slice(0, 1))
                np.testing.assert_allclose(here[MIN], there[MIN], rtol=0.05, atol=2e-3)
                np.testing.assert_allclose(here[MAX], there[MAX], rtol=0.05, atol=2e-3)
                np.testing.assert_array_equal(here[COUNT], there[COUNT])


def test_losses_are_logged_without_lightnings_scale(pl: Any, tmp_path: Path) -> None:
    """Under manual optimization, where nobody returns them, they are taken on their way to backward."""
    plugins = [pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=_scaler())]
    monitor = harness.monitor(cases.GAN, tmp_path / "run")
    trained = harness.by_lightning(pl, cases.GAN, tmp_path, monitor, plugins=plugins)
    with Run(tmp_path / "run") as run:
        found = [run.losses.values[run.losses.columns.index(f"loss/backward#{k}")] for k in range(2)]
        np.testing.assert_allclose(np.transpose(found), trained.losses, rtol=1e-5)
        assert {key.program for key in run.keys if key.quantity == "gradient"} == {"backward#0", "backward#1"}


def _assert_same(plain: Seen, recorded: Seen) -> None:
    assert plain.losses == recorded.losses
    assert plain.scales == recorded.scales
    for name, value in plain.net.state_dict().items():
        assert torch.equal(value, recorded.net.state_dict()[name]), name


def _assert_row(run: Run, step: int, node: str, quantity: str, values: Tensor, axis: int) -> None:
    row = run.read(RowKey(node, "backward#0", quantity), slice(step, step + 1))[:, 0]
    expected = slow_moments(values, axis, quantity == "gradient")
    for statistic in (COUNT, MEAN, M2, MIN, MAX):
        np.testing.assert_allclose(
            row[statistic], expected[statistic], rtol=1e-3, atol=1e-7, err_msg=f"{node} {quantity}"
        )
