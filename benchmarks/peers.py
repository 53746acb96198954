"""What else records trainings: each peer as a way to make a training step that it watches.

Imported where they are used: most are not installed, and then named as skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.trainings import Step, adam, plain_step

#: A model, its batch, every how many steps to capture and a directory for files -> a step to call again and again.
Method = Callable[[nn.Module, Tensor, int, Path], AbstractContextManager[Step]]


@dataclass(frozen=True, slots=True)
class Peer:
    """``every_step``: it knows no interval."""

    kept: str
    method: Method
    every_step: bool = False


def _after(plain: Step, every: int, capture: Callable[[int], object]) -> Step:
    """``plain``, and after each ``every``-th one ``capture``, from the first on."""
    steps = itertools.count()

    def step() -> None:
        plain()
        index = next(steps)
        if index % every == 0:
            capture(index)

    return step


@contextmanager
def histograms(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """TensorBoard's `add_histogram` of every parameter and gradient."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(directory) as writer:

        def capture(index: int) -> None:
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter, index)
                if parameter.grad is not None:
                    writer.add_histogram(f"{name}.grad", parameter.grad, index)

        yield _after(plain_step(model, batch), every, capture)


@contextmanager
def histograms_and_activations(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """The same, and of every output of a leaf module, by forward hooks on the steps that are captured."""
    from torch.utils.tensorboard import SummaryWriter

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    with histograms(model, batch, every, directory / "parameters") as inner, SummaryWriter(directory) as writer:
        steps = itertools.count()

        def step() -> None:
            index = next(steps)
            handles = []
            if index % every == 0:
                for name, module in leaves:

                    def hook(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
                        writer.add_histogram(f"{name}.out", output, index)

                    handles.append(module.register_forward_hook(hook))
            inner()
            for handle in handles:
                handle.remove()

        yield step


@contextmanager
def wandb_watch(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """`wandb.watch(log="all")`, offline."""
    import wandb

    directory.mkdir(parents=True, exist_ok=True)
    optimizer = adam(model)
    with wandb.init(mode="offline", dir=str(directory), settings=wandb.Settings(silent=True)) as run:
        run.watch(model, log="all", log_freq=every)

        def step() -> None:
            optimizer.zero_grad()
            loss = model(batch)
            loss.backward()
            optimizer.step()
            run.log({"loss": loss.detach()})

        yield step
        run.unwatch(model)


@contextmanager
def torchlens_trace(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """`torchlens.trace` of a forward pass of its own, kept in memory until the next."""
    import torchlens

    kept: list[object] = []

    def capture(_: int) -> None:
        kept[:] = [torchlens.trace(model, batch)]

    yield _after(plain_step(model, batch), every, capture)


@contextmanager
def nansense_statistics(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """NaNsense with its running statistics of all layers, which never pauses."""
    import nansense

    optimizer = adam(model)
    session = nansense.start(model, optimizer=optimizer, open_browser=False, phases={"train": 1_000_000}, epochs=1)
    session.set_stats_scope("all")
    session.detach()  # never pauses again; statistics of the scope are still collected
    batches = session.batches(itertools.repeat(batch), phase="train")
    plain = plain_step(model, batch, optimizer)

    def step() -> None:
        next(batches)
        plain()

    yield step
    batches.close()
    session.close()


@contextmanager
def neurolens_monitor(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """NeuroLens, which sends at every step, to no viewer."""
    from neurolens.monitor import monitor as watch

    optimizer = adam(model)
    monitor = watch(model, optimizer, every=0.0)
    steps = itertools.count()

    def step() -> None:
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        optimizer.step()
        monitor.step(next(steps), loss=loss)

    yield step


@contextmanager
def torchmortem_autopsy(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """torchmortem's collectors; its report at the end is not timed."""
    from torchmortem import Autopsy, SamplingConfig

    optimizer = adam(model)
    sampling = SamplingConfig(default_interval=every, expensive_interval=max(every, 50))
    autopsy = Autopsy(model, optimizer=optimizer, sampling=sampling)
    autopsy.attach()

    def step() -> None:
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        optimizer.step()
        autopsy.step(loss=loss.item())

    yield step
    autopsy.detach()


@contextmanager
def detect_anomaly(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """PyTorch's own search for the origin of NaN."""
    with torch.autograd.set_detect_anomaly(True):
        yield plain_step(model, batch)


@contextmanager
def debug_overflow(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """Hugging Face's `DebugUnderflowOverflow`."""
    from transformers.debug_utils import DebugUnderflowOverflow

    watching = DebugUnderflowOverflow(model)
    yield plain_step(model, batch)
    del watching


PEERS: Final[dict[str, Peer]] = {
    "TensorBoard `add_histogram`": Peer("30 bins a parameter and gradient", histograms),
    "the same + activations": Peer("30 bins a tensor", histograms_and_activations),
    '`wandb.watch(log="all")`, offline': Peer("64 bins a parameter and gradient", wandb_watch),
    "TorchLens `trace`": Peer("the forward pass, in memory", torchlens_trace),
    "NaNsense, statistics on": Peer("moments and bins a layer, newest epoch", nansense_statistics, every_step=True),
    "NeuroLens": Peer("scalars a layer, sent away", neurolens_monitor, every_step=True),
    "torchmortem": Peer("scalars a layer", torchmortem_autopsy),
    "`detect_anomaly`": Peer("the origin of NaN", detect_anomaly, every_step=True),
    "`DebugUnderflowOverflow`": Peer("greatest value a module, last frames", debug_overflow, every_step=True),
}

#: Peers that cannot be measured beside the packages that we need, and why.
OUT: Final = {
    "SageMaker Debugger": "smdebug's generated code needs protobuf before 4, TensorBoard a later one",
    "Cockpit": "cockpit-for-pytorch 1.0.2 needs pkg_resources, which setuptools no longer brings",
}
