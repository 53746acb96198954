"""The small trainings that recording is measured on: each a model whose output is its own loss, and a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Step = Callable[[], None]


class Mlp(nn.Module):
    """784-1024-1024-512-10."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise((784, 1024, 1024, 512, 10))]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.cross_entropy(self.layers(x), torch.arange(len(x)) % 10)


class ConvVae(nn.Module):
    """A convolutional VAE of 28 × 28 images."""

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


class Block(nn.Module):
    """Two convolutions beside an identity, as in ResNet's for CIFAR."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1, self.relu1 = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        out: Tensor = self.relu2(inside + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """Three stages of one block, 16 to 64 maps, of 32 × 32 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(Block(16, 16), Block(16, 32), Block(32, 64))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.fc(self.pool(self.stages(self.stem(x))).flatten(1))
        return F.cross_entropy(logits, torch.arange(len(x)) % 10)


class _Layer(nn.Module):
    """Pre-norm causal self-attention and MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.up, self.gelu = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        out: Tensor = x + self.down(self.gelu(self.up(self.norm2(x))))
        return out


class Transformer(nn.Module):
    """A language model of three layers, width 128, 512 words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(512, 128), nn.Embedding(64, 128)
        self.layers = nn.Sequential(*(_Layer(128, 4) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 512)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.words(x) + self.places(torch.arange(x.shape[1]))
        logits: Tensor = self.head(self.norm(self.layers(hidden)))
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), x[:, 1:].flatten())


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Tensor]


CASES: Final = (
    Case("MLP 784-1024-1024-512-10, batch 128", Mlp, lambda: torch.rand(128, 784)),
    Case("conv VAE 28 × 28, batch 64", ConvVae, lambda: torch.rand(64, 1, 28, 28)),
    Case("ResNet 32 × 32, batch 32", ResNet, lambda: torch.rand(32, 3, 32, 32)),
    Case("transformer 3 × 128, batch 8 × 64", Transformer, lambda: torch.randint(512, (8, 64))),
)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters())


def plain_step(model: nn.Module, batch: Tensor, optimizer: torch.optim.Optimizer | None = None) -> Step:
    """A training step and nothing else."""
    optimizer = optimizer or adam(model)

    def step() -> None:
        optimizer.zero_grad()
        model(batch).backward()
        optimizer.step()

    return step
