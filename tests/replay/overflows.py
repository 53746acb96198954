"""Small networks whose loss ceases to be finite, each in a way of its own, and a recorded step of each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dgm_tb.replay.credit import Step
from tests.callbacks.networks import Mlp
from tests.replay.steps import batch_of, network, optimizers_of, recorded

PROGRAM = "backward#0"


class Net(nn.Module):
    """Two linear layers; what follows is said by each network's own ``end``."""

    data = staticmethod(Mlp.data)

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 5)

    def end(self, h: Tensor) -> Tensor:
        raise NotImplementedError

    def loss(self, batch: Any) -> Tensor:
        return self.end(self.head(torch.relu(self.body(batch[0])))).mean()


class Sampler(Net):
    """As a VAE's: draws with a log-variance, decodes linearly, squares."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(5, 3)

    def end(self, h: Tensor) -> Tensor:
        z: Tensor = (0.5 * h).exp() * torch.randn_like(h)
        decoded: Tensor = self.decoder(z)
        return decoded**2


class Masked(Net):
    """Attention-like weights, one of which is masked; then an exponential."""

    def end(self, h: Tensor) -> Tensor:
        mask = torch.zeros(5).masked_fill(torch.arange(5) == 0, -torch.inf)
        return (torch.softmax(h + mask, 1) * h).exp()


class InPlace(Net):
    def end(self, h: Tensor) -> Tensor:
        return h.mul(1.0).exp_() * 2


class Root(Net):
    """Not finite in any precision."""

    def end(self, h: Tensor) -> Tensor:
        return (-(h**2)).log()


class Buffered(Net):
    """A mask among the buffers."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.zeros(5).masked_fill(torch.arange(5) == 0, -torch.inf))

    def end(self, h: Tensor) -> Tensor:
        return ((h + self.mask).clamp(min=-3.0) * h).exp()


class Leaking(Buffered):
    """The mask reaches the loss."""

    def end(self, h: Tensor) -> Tensor:
        return h + self.mask


class Bare(Net):
    """An overflow of the batch itself, beside the network."""

    def loss(self, batch: Any) -> Tensor:
        loss: Tensor = (200 + batch[0]).exp().mean() + super().loss(batch)
        return loss

    def end(self, h: Tensor) -> Tensor:
        return h


def step_of(kind: type[Net], unit: int | None = None, bias: float = 0.0) -> Step:
    """A recorded step, in which a unit of the head was driven up."""
    module = network(kind)
    head = module.head
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        if unit is not None:
            head.bias[unit] = bias
    step, _ = recorded(module, batch_of(kind, 1), optimizers_of(module, 0.0))
    return step
