"""Trainings whose credit is timed, and two deep snapshots of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from benchmarks.trainings import Block
from dgm_tb.replay.credit import Step
from lightning_callbacks.demo_model import VariationalAutoencoder
from tests.replay.steps import recorded


class Own(nn.Module):
    """A model that is its own loss, as the recorder of the tests takes one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def loss(self, batch: Any) -> Tensor:
        out: Tensor = self.model(batch[0])
        return out


class Demo(nn.Module):
    """The demo's model, its training step as `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = VariationalAutoencoder(False, 4e-3, 200)
        self.vae.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # it has no trainer to log to

    def forward(self, x: Tensor) -> Tensor:
        return self.vae.training_step([x], 0)


class ResNet18(nn.Module):
    """He et al. 2016, 11 million parameters, for images of 64 × 64; `forward` gives its loss."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.blocks = nn.Sequential(*(Block(*two) for two in pairwise(widths)))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)

    def logits(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.pool(self.blocks(self.stem(x))).flatten(1))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(x), torch.arange(len(x)) % 10)


@dataclass(frozen=True)
class Pair:
    """Two deep snapshots of a training, the module as it is at the end, and the later batch."""

    earlier: Step
    later: Step
    model: nn.Module
    batch: Tensor


def pair_of(model: Callable[[], nn.Module], batch: Callable[[], Tensor], before: int, between: int) -> Pair:
    torch.manual_seed(0)
    network = Own(model())
    optimizer = Adam(network.parameters(), 1e-3)

    def learn(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            network.loss([batch()]).backward()
            optimizer.step()

    learn(before)
    earlier, _ = recorded(network, [batch()], [optimizer], before)
    learn(between)
    last = batch()
    later, _ = recorded(network, [last], [optimizer], before + between + 1)
    return Pair(earlier, later, network.model, last)
