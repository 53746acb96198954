"""Tiny networks of the kinds that people train, and how each is trained by either framework."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

Batch = tuple[Tensor, Tensor]


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.last = nn.Linear(8, 3)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.last(self.act(self.first(batch[0]))), batch[1])

    @staticmethod
    def data() -> Batch:
        return torch.randn(16, 6), torch.randint(0, 3, (16,))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)) + x)
        return out


class Cnn(nn.Module):
    """Batch norm, in-place ReLU, two residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.ModuleList([Residual(4), Residual(4)])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def loss(self, batch: Batch) -> Tensor:
        x = self.stem(batch[0])
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.pool(x).flatten(1)), batch[1])

    @staticmethod
    def data() -> Batch:
        return torch.randn(16, 1, 6, 6), torch.randint(0, 3, (16,))


class Vae(nn.Module):
    """Convolution, two heads, a sampler, deconvolution."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.ReLU())
        self.mean = nn.Conv2d(4, 2, 1)
        self.variance = nn.Conv2d(4, 2, 1)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))

    def loss(self, batch: Batch) -> Tensor:
        h: Tensor = self.encoder(batch[0])
        mean, variance = self.mean(h), self.variance(h)
        z = mean + torch.exp(0.5 * variance) * torch.randn_like(mean)
        divergence = 0.5 * (variance.exp() + mean**2 - 1 - variance).sum((1, 2, 3)).mean()
        loss: Tensor = F.mse_loss(self.decoder(z), batch[0]) + 0.01 * divergence
        return loss

    @staticmethod
    def data() -> Batch:
        return torch.rand(16, 1, 8, 8), torch.zeros(16)


class Transformer(nn.Module):
    """PyTorch's own encoder layers, dropout included."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(8, 10)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.head(self.layers(self.embed(batch[0]))).flatten(0, 1), batch[1].flatten())

    @staticmethod
    def data() -> Batch:
        tokens = torch.randint(0, 10, (16, 5))
        return tokens, tokens.roll(1, 1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = x + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return out


class Tied(nn.Module):
    """A hand-written transformer whose output layer is the embedding's matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.position = nn.Parameter(torch.zeros(1, 5, 8))
        self.blocks = nn.ModuleList([Attention(), Attention()])
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight

    def loss(self, batch: Batch) -> Tensor:
        x = self.embed(batch[0]) + self.position
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(x).flatten(0, 1), batch[1].flatten())

    @staticmethod
    def data() -> Batch:
        return Transformer.data()


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(3 + 5, 10)
        self.new = nn.Linear(3 + 5, 5)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        reset, update = torch.sigmoid(self.gates(torch.cat([x, h], -1))).chunk(2, -1)
        candidate = torch.tanh(self.new(torch.cat([x, reset * h], -1)))
        return (1 - update) * h + update * candidate


class Gru(nn.Module):
    """A hand-written recurrent cell in a Python loop of seven steps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()
        self.head = nn.Linear(5, 2)

    def loss(self, batch: Batch) -> Tensor:
        h = torch.zeros(len(batch[0]), 5)
        for t in range(batch[0].shape[1]):
            h = self.cell(batch[0][:, t], h)
        return F.cross_entropy(self.head(h), batch[1])

    @staticmethod
    def data() -> Batch:
        return torch.randn(16, 7, 3), torch.randint(0, 2, (16,))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(5, 2)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.head(self.rnn(batch[0])[0][:, -1]), batch[1])

    @staticmethod
    def data() -> Batch:
        return Gru.data()


class Gan(nn.Module):
    """The discriminator is called twice on its own step and once on the generator's."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 4))
        self.discriminator = nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))

    def losses(self, real: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        noise = torch.randn(len(real), 2)

        def discriminator() -> Tensor:
            fake = self.generator(noise).detach()
            return F.softplus(-self.discriminator(real)).mean() + F.softplus(self.discriminator(fake)).mean()

        def generator() -> Tensor:
            return F.softplus(-self.discriminator(self.generator(noise))).mean()

        return discriminator, generator

    @staticmethod
    def data() -> Batch:
        return torch.randn(16, 4), torch.zeros(16)


AUTOMATIC: tuple[type[Any], ...] = (Mlp, Cnn, Vae, Transformer, Tied, Gru, Lstm)
EVERY: tuple[type[Any], ...] = (*AUTOMATIC, Gan)


def loader(network: type[Any], batch_size: int = 4) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*network.data()), batch_size=batch_size)


def lightning_module(framework: Any, network: nn.Module, *, rate: float = 1e-2) -> Any:
    """``network`` as a `LightningModule` of ``framework``; a `Gan` with manual optimization and two optimizers."""
    if isinstance(network, Gan):
        return _adversarial(framework, network, rate)

    loss_of: Callable[[Any], Tensor] = network.loss  # type: ignore[assignment]

    class Training(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss: Tensor = loss_of(batch)
            self.log("logged", loss, on_step=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), rate)

    return Training()


def _adversarial(framework: Any, network: Gan, rate: float) -> Any:
    class Training(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.network = network

        def training_step(self, batch: Any, batch_idx: int) -> None:
            first, second = self.optimizers()
            for optimizer, loss_of in zip((first, second), self.network.losses(batch[0]), strict=True):
                optimizer.zero_grad()
                loss = loss_of()
                self.log(loss_of.__name__, loss, on_step=True)
                self.manual_backward(loss)
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return [
                torch.optim.Adam(self.network.discriminator.parameters(), rate),
                torch.optim.Adam(self.network.generator.parameters(), rate),
            ]

    return Training()


def fit(
    framework: Any, module: Any, data: Any, directory: Path, *callbacks: Any, trainer: Any = None, **options: Any
) -> Any:
    """Trains quietly on the CPU and returns the trainer; without a logger unless ``options`` name one."""
    settings = {"max_epochs": 1, "logger": False} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about workers and intervals
        trainer = trainer or framework.Trainer(
            accelerator="cpu",
            devices=1,
            default_root_dir=directory,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
            **settings,
        )
        trainer.fit(module, data)
    return trainer
