"""Small networks that learn scikit-learn's digits, and pairs of deep snapshots of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from dgm_tb.replay.credit import Step
from tests.replay.steps import recorded

BATCH = 32


class Digits(nn.Module):
    """A classifier of images ``(batch, 1, 8, 8)`` made of modules that every peer can take apart."""

    body: nn.Sequential

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


def mlp() -> Digits:
    """64-32-32-10."""
    return Digits(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    )


def cnn() -> Digits:
    """Two convolutions of 16 and 32 filters, a hidden layer of 32 units."""
    return Digits(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10),
        )
    )  # fmt: skip


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 images ``(n, 1, 8, 8)`` in [0, 1], and what they show."""
    found = load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None] / 16, torch.tensor(found.target)


@dataclass
class Training:
    """One training, by its seed; ``model`` is trained in place, ``next`` is the batch that comes."""

    model: Digits
    seed: int
    rate: float = 1e-3
    step: int = 0
    _draws: torch.Generator = field(init=False)
    _optimizer: Adam = field(init=False)

    def __post_init__(self) -> None:
        self._draws = torch.Generator().manual_seed(self.seed)
        self._optimizer = Adam(self.model.parameters(), self.rate)

    def next(self) -> tuple[Tensor, Tensor]:
        images, labels = digits()
        chosen = torch.randint(len(images), (BATCH,), generator=self._draws)
        return images[chosen], labels[chosen]

    def learn(self, steps: int) -> None:
        for _ in range(steps):
            self._optimizer.zero_grad()
            self.model.loss(self.next()).backward()
            self._optimizer.step()
            self.step += 1

    def faster(self, times: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] *= times

    def record(self, batch: tuple[Tensor, Tensor] | None = None) -> tuple[Step, Digits]:
        """A deep snapshot of one more step, and the network as it was before it."""
        before = of(self.model)
        step, _ = recorded(self.model, batch or self.next(), [self._optimizer], self.step)
        self.step += 1
        return step, before


def of(model: Digits) -> Digits:
    """A copy in float64 that nothing trains."""
    return deepcopy(model).double().requires_grad_(False)


def started(kind: Callable[[], Digits], seed: int, steps: int, rate: float = 1e-3) -> Training:
    torch.manual_seed(seed)
    training = Training(kind(), seed, rate)
    training.learn(steps)
    return training
