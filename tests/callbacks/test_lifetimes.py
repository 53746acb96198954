"""How recordings end and go on: exceptions, Ctrl-C, a killed process, a bare loop that resumes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from dgm_tb.moments import COUNT
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder
from tests.callbacks.networks import Mlp, fit, lightning_module, loader
from tests.waiting import until

#: Trains until it is killed, and says when it has begun.
ENDLESS = """
    import sys, torch
    from torch import nn
    from lightning_callbacks import Recorder
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    recorder = Recorder(net, sys.argv[1], every_n_steps=1)
    while True:
        with recorder.step(x := torch.randn(4, 6)):
            loss = net(x).square().mean()
            recorder.log(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""


def _nothing_hooked(module: nn.Module) -> bool:
    return not (_global_optimizer_pre_hooks or _global_optimizer_post_hooks) and not any(
        m._forward_hooks or m._forward_pre_hooks for m in module.modules()
    )


def _killed(directory: Path, at_least: int) -> None:
    """Runs an endless training, and kills it once a reader sees ``at_least`` snapshots."""
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(ENDLESS), str(directory)])
    try:
        until(lambda: child.poll() is not None or _snapshots(directory) >= at_least, seconds=120)
        assert child.poll() is None, "the training ended by itself"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)


def _snapshots(directory: Path) -> int:
    if not list(directory.glob("plugins/dgm/*/steps")):
        return 0
    with Run(directory, listed=True) as run:
        return len(run.steps)


def test_a_killed_training_leaves_a_readable_run_that_the_next_one_continues(tmp_path: Path) -> None:
    _killed(tmp_path, at_least=70)
    with Run(tmp_path) as run:
        assert run.problems == ()
        assert run.end_reason is None
        first = run.steps.tolist()
        assert first == list(range(len(first)))
        for key in run.keys:
            assert (run.read(key, slice(None))[COUNT] > 0).all()
    # As after a checkpoint: some steps before the end once more, then new ones.
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        recorder.step_index = len(first) - 10
        for _ in range(30):
            with recorder.step():
                loss = net(torch.randn(4, 6)).square().mean()
                recorder.log(loss=loss)
                loss.backward()
    with Run(tmp_path) as run:
        assert run.problems == ()
        assert run.steps.tolist() == run.losses.steps.tolist() == list(range(len(first) + 20))
        assert len(list((tmp_path / "plugins" / "dgm").iterdir())) == 2


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_leaves_a_readable_run(
    framework: Any, interruption: type[BaseException], tmp_path: Path
) -> None:
    class Interrupted(Mlp):
        calls = 0

        def loss(self, batch: Any) -> Any:
            self.calls += 1
            if self.calls == 4:
                raise interruption
            return super().loss(batch)

    module = lightning_module(framework, Interrupted())
    handler = signal.getsignal(signal.SIGINT)  # Lightning ignores SIGINT from the first one on
    try:
        with pytest.raises((SystemExit, interruption)):
            fit(framework, module, loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path / "run"))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert _nothing_hooked(module)
    with Run(tmp_path / "run") as run:
        assert run.problems == ()
        assert run.steps.tolist() == run.losses.steps.tolist() == [0, 1, 2]
        assert run.end_reason == "exception"


def test_an_interruption_inside_the_optimizers_step_leaves_no_hook(tmp_path: Path) -> None:
    class Interrupted(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise KeyboardInterrupt

    net = nn.Linear(3, 2)
    optimizer = Interrupted(net.parameters(), 0.1)
    with pytest.raises(KeyboardInterrupt), Recorder(net, tmp_path) as recorder, recorder.step():  # noqa: PT012
        net(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    assert _nothing_hooked(net)
    assert recorder.failure is None


def test_a_bare_loop_resumes_where_its_checkpoint_was(tmp_path: Path) -> None:
    def train(directory: Path, first: int, last: int, state: dict[str, Any] | None = None) -> dict[str, Any]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        if state is not None:
            net.load_state_dict(state["net"])
            optimizer.load_state_dict(state["optimizer"])
        x = torch.linspace(-1, 1, 15).reshape(5, 3)
        with Recorder(net, directory, every_n_steps=1) as recorder:
            recorder.step_index = first
            for _ in range(first, last):
                with recorder.step(x):
                    loss = net(x).square().mean()
                    recorder.log(loss=loss)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        return {"net": net.state_dict(), "optimizer": optimizer.state_dict()}

    train(tmp_path / "whole", 0, 9)
    state = train(tmp_path / "run", 0, 4)
    train(tmp_path / "run", 0, 7)  # crashed after the checkpoint
    train(tmp_path / "run", 4, 9, state)
    with Run(tmp_path / "whole") as one, Run(tmp_path / "run") as other:
        assert one.steps.tolist() == other.steps.tolist() == list(range(9))
        assert other.losses.steps.tolist() == list(range(9))
        for key in one.keys:
            np.testing.assert_array_equal(one.read(key, slice(None)), other.read(key, slice(None)), key.tag)


@pytest.mark.parametrize("hook", ["setup", "configure_model"])
def test_a_model_that_makes_its_layers_late_is_recorded(framework: Any, hook: str, tmp_path: Path) -> None:
    class Late(framework.LightningModule):  # type: ignore[misc]
        def make(self, *_: Any, **__: Any) -> None:
            self.network = Mlp()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.network.loss(batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    setattr(Late, hook, Late.make)
    fit(framework, Late(), loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path / "run"))
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
        assert {key.node for key in run.keys} == {"network.first", "network.act", "network.last"}


def test_closing_twice_or_recording_after_it_does_nothing(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    recorder = Recorder(net, tmp_path, every_n_steps=1)
    for _ in range(2):
        with recorder.step():
            net(torch.randn(4, 3)).sum().backward()
        recorder.close()
        recorder.log(loss=1.0)
    assert recorder.failure is None
    assert _nothing_hooked(net)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0]
        assert run.end_reason == "finished"
