"""Parameters that are not simply a module's weight: computed, made late, scripted, replaced while the training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from dgm_tb.moments import COUNT
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder
from tests.callbacks.oracles import slow_moments
from tests.conformance import harness

OF_WEIGHTS = ("weight", "weight_gradient", "update")


def _train(net: nn.Module, recorder: Recorder | None, steps: int = 3) -> None:
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    torch.manual_seed(1)
    for _ in range(steps):
        x = torch.randn(5, 6)
        if recorder is None:
            net(x).square().mean().backward()
            optimizer.step()
        else:
            with recorder.step(x):
                net(x).square().mean().backward()
                optimizer.step()
        optimizer.zero_grad()


def _nodes(run: Run, quantity: str) -> set[str]:
    return {key.node for key in run.keys if key.quantity == quantity}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("computed", "trained"),
    [
        (nn.utils.weight_norm, ("weight_g", "weight_v")),
        (nn.utils.spectral_norm, ("weight_orig",)),
        (parametrizations.weight_norm, ("parametrizations.weight.original0", "parametrizations.weight.original1")),
        (parametrizations.spectral_norm, ("parametrizations.weight.original",)),
        (parametrizations.orthogonal, ("parametrizations.weight.original",)),
    ],
)
def test_of_a_computed_weight_what_is_trained_is_recorded(
    computed: Any, trained: tuple[str, ...], tmp_path: Path
) -> None:
    """All of it, by units; the computed weight itself is never asked for: that would move a spectral norm's state."""

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(computed(nn.Linear(6, 4)), nn.Tanh(), nn.Linear(4, 2))

    recorded, plain = net(), net()
    start = torch.cat([recorded.get_parameter(f"0.{name}").detach().clone() for name in trained], 1)
    with Recorder(recorded, tmp_path, every_n_steps=1) as recorder:
        _train(recorded, recorder)
    assert recorder.failure is None
    _train(plain, None)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, recorded.state_dict()[name]), name
    with Run(tmp_path) as run:
        for quantity in OF_WEIGHTS:
            assert _nodes(run, quantity) == {"0", "2"}
        row = run.read(RowKey("0", "backward#0", "weight"), slice(0, 1))[:, 0]
        np.testing.assert_allclose(row, slow_moments(start, 0, False), rtol=1e-4, atol=1e-6)


def test_lazy_modules_are_recorded_from_the_batch_that_makes_them(tmp_path: Path) -> None:
    net = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2))
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        with recorder.step(x := torch.randn(5, 6)):
            net(x).sum().backward()
        _train(net, recorder, 2)
    assert recorder.failure is None
    with Run(tmp_path) as run:
        assert _nodes(run, "activation") == {"0", "1", "2", "3"}
        assert run.read(RowKey("0", "backward#0", "activation"), slice(None))[COUNT].tolist() == [[5.0] * 4] * 3
        assert run.read(RowKey("0", "backward#0", "weight"), slice(None))[COUNT, :, 0].tolist() == [0, 6, 6]
        assert _nodes(run, "update") == {"0", "1", "3"}


def test_a_model_that_lightning_builds_after_setup_is_recorded(framework: Any, tmp_path: Path) -> None:
    class Training(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net: Any = None

        def configure_model(self) -> None:
            if self.net is None:
                self.net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))
                self.net(torch.randn(5, 6))

        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            loss: Tensor = self.net(batch[0]).square().mean()
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(20, 6)), batch_size=5)
    monitor = DynamicsMonitor(1, log_dir=tmp_path / "run")
    harness.quietly(harness.quietly(harness.trainer, framework, tmp_path, monitor).fit, Training(), data)
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
        assert _nodes(run, "activation") == {"net.0", "net.1", "net.2"}
        assert _nodes(run, "update") == {"net.0", "net.2"}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_modules_are_left_out_and_the_rest_is_recorded(tmp_path: Path) -> None:
    scripted: Any = torch.jit.script(nn.Sequential(nn.Linear(6, 4), nn.ReLU()))
    net = nn.Sequential(scripted, nn.Linear(4, 2))
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        _train(net, recorder)
    assert recorder.failure is None
    with Run(tmp_path) as run:
        assert {key.node for key in run.keys} == {"1"}
        assert {key.quantity for key in run.keys} == {"activation", "gradient", *OF_WEIGHTS}


def test_a_model_that_is_rebuilt_is_followed(tmp_path: Path) -> None:
    """As adapters are put in, or layers replaced, while the training runs."""
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        _train(net, recorder, 2)
        net[1] = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        _train(net, recorder, 2)
    assert recorder.failure is None
    with Run(tmp_path) as run:
        for quantity in ("activation", "update"):
            counts = {
                node: run.read(RowKey(node, "backward#0", quantity), slice(None))[COUNT, :, 0] > 0
                for node in ("0", "1", "1.0", "1.1")
            }
            assert counts["0"].all()
            assert counts["1"].tolist() == [True, True, False, False]
            assert counts["1.0"].tolist() == counts["1.1"].tolist() == [False, False, True, True]


def test_pruning_replaces_the_parameter(tmp_path: Path) -> None:
    from torch.nn.utils import prune

    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        _train(net, recorder, 1)
        prune.random_unstructured(net[0], "weight", 0.5)
        _train(net, recorder, 1)
    assert recorder.failure is None
    with Run(tmp_path) as run:
        assert run.read(RowKey("0", "backward#0", "update"), slice(None))[COUNT].tolist() == [[6.0] * 4] * 2
