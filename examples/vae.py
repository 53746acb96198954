"""A convolutional variational autoencoder on digits of 8×8 pixels. Watch it: ``tensorboard --logdir lightning_logs``.

Needs ``pip install 'dgm-tb[demo]'`` (scikit-learn for the digits).
"""

from __future__ import annotations

import argparse

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_callbacks import DynamicsMonitor


class Encoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        self.mean = nn.Linear(64 * 2 * 2, latent)
        self.logvar = nn.Linear(64 * 2 * 2, latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(images)
        return self.mean(h), self.logvar(h)


class Decoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.start = nn.Linear(latent, 64 * 2 * 2)
        self.grow = nn.Sequential(
            nn.Unflatten(1, (64, 2, 2)),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.grow(F.relu(self.start(z)))
        return images


class Vae(pl.LightningModule):
    def __init__(self, latent: int = 8, rate: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = Encoder(latent)
        self.decoder = Decoder(latent)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        (images,) = batch
        mean, logvar = self.encoder(images)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), images, reduction="none").sum((1, 2, 3))
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
        self.log_dict({"reconstruction": reconstruction.mean(), "kl": divergence.mean()}, prog_bar=True)
        loss: Tensor = (reconstruction + divergence).mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps

    pl.seed_everything(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)
    trainer = pl.Trainer(max_steps=steps, callbacks=[DynamicsMonitor()])
    trainer.fit(Vae(), loader)


if __name__ == "__main__":
    main()
