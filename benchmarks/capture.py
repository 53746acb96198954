"""What recording costs a training step, beside TensorBoard's own histograms of the same training."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from dgm_tb.store.run import Run
from lightning_callbacks import Recorder

HEADING: Final = "Capture"
PACKAGES: Final = ("torch", "numpy", "numba", "tensorboard")
INTERVALS: Final = (1, 10, 100)
#: Steps before the clock starts: the dense start of the schedule and the first calls of everything are over.
WARM: Final = 70
#: Measured steps of each interval: at least two captures.
STEPS: Final = {1: 60, 10: 100, 100: 200}
REPEATS: Final = 3

Step = Callable[[], None]


class ConvVae(nn.Module):
    """A small convolutional VAE of 28 × 28 images; the loss is its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(3136, 20), nn.Linear(3136, 20)
        self.fc = nn.Linear(20, 3136)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.encoder(x).flatten(1)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        image = self.decoder(self.fc(z).view(-1, 64, 7, 7))
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        loss: Tensor = F.binary_cross_entropy(image, x, reduction="none").sum((1, 2, 3)).mean() + kl
        return loss


class Mlp(nn.Module):
    """784-1024-1024-512-10; the loss is its own output."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (784, 1024, 1024, 512, 10)
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.cross_entropy(self.layers(x), torch.arange(len(x)) % 10)


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Tensor]


CASES: Final = (
    Case("MLP 784-1024-1024-512-10, batch 128", Mlp, lambda: torch.rand(128, 784)),
    Case("conv VAE 28 × 28, batch 64", ConvVae, lambda: torch.rand(64, 1, 28, 28)),
)


def plain_step(model: nn.Module, batch: Tensor) -> Step:
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()

    return step


@contextmanager
def ours(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    optimizer = torch.optim.Adam(model.parameters())
    with Recorder(model, directory, every_n_steps=every) as recorder:

        def step() -> None:
            with recorder.step(batch):
                optimizer.zero_grad()
                loss = model(batch)
                recorder.log(loss=loss)
                loss.backward()
                optimizer.step()

        yield step


@contextmanager
def histograms(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    """`SummaryWriter.add_histogram` of every parameter and gradient: 30 bins a tensor."""
    plain, count = plain_step(model, batch), 0
    with SummaryWriter(directory) as writer:

        def step() -> None:
            nonlocal count
            plain()
            if count % every == 0:
                for name, parameter in model.named_parameters():
                    writer.add_histogram(name, parameter, count)
                    if parameter.grad is not None:
                        writer.add_histogram(f"{name}.grad", parameter.grad, count)
            count += 1

        yield step


Method = Callable[[nn.Module, Tensor, int, Path], AbstractContextManager[Step]]
METHODS: Final[dict[str, Method]] = {
    "**every unit, all statistics, written**": ours,
    "`add_histogram`, 30 bins": histograms,
}


def ratio(case: Case, method: Method, every: int, directory: Path) -> float:
    """Seconds with the method over seconds without, each step right after one of an untouched copy."""
    model, batch = case.model(), case.batch()
    without = plain_step(copy.deepcopy(model), batch)
    spent = np.zeros(2)
    with method(model, batch, every, directory) as with_it:
        for index in range(WARM + STEPS[every]):
            begun = time.perf_counter()
            without()
            between = time.perf_counter()
            with_it()
            if index >= WARM:
                spent += between - begun, time.perf_counter() - between
    return float(spent[1] / spent[0])


def kilobytes(directory: Path) -> tuple[float, float]:
    """Of a recording: kB a snapshot on disk, and of the rows' own numbers."""
    with Run(directory) as run:
        rows = sum(run.keys.values()) * 8 * 4
        disk = sum(path.stat().st_size for path in directory.rglob("journal-*"))
        return disk / len(run.steps) / 1e3, rows / 1e3


def run() -> str:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = [
        "| model | what is kept | " + " | ".join(f"every {n}" for n in INTERVALS) + " | kB a capture (rows alone) |"
    ]
    table.append("| --- | --- |" + " ---: |" * (len(INTERVALS) + 1))
    for case in CASES:
        for name, method in METHODS.items():
            cells, size = [], "–"
            for every in INTERVALS:
                with tempfile.TemporaryDirectory() as folder:
                    found = [ratio(case, method, every, Path(folder, str(k))) for k in range(REPEATS)]
                    cells.append(f"{np.median(found):.2f} ({min(found):.2f} … {max(found):.2f})")
                    if method is ours:
                        size = "{:.0f} ({:.0f})".format(*kilobytes(Path(folder, "0")))
            table.append(f"| {case.name} | {name} | {' | '.join(cells)} | {size} |")
    return (
        "Step time with recording over step time without, capturing every 1, 10, 100 steps: plain loop, Adam, one "
        f"torch thread, an untouched copy stepped before every step. Median (least … greatest) of {REPEATS}.\n\n"
        + "\n".join(table)
    )
