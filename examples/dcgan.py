"""A DCGAN on digits of 8×8 pixels: two optimizers, manual optimization.

Watch it: ``tensorboard --logdir lightning_logs``. Needs ``pip install 'dgm-tb[demo]'`` (scikit-learn for the digits).
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


def initialise(module: nn.Module) -> None:
    """As in the DCGAN paper (Radford, Metz, Chintala 2016): weights N(0, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def generator(noise: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(noise, 2 * width, 2, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(True),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1, bias=False),
        nn.Tanh(),
    )


def discriminator(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(2 * width, 1, 2, bias=False),
        nn.Flatten(),
    )


class DcGan(pl.LightningModule):
    def __init__(self, noise: int = 32, width: int = 32) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.noise = noise
        self.generator = generator(noise, width).apply(initialise)
        self.discriminator = discriminator(width).apply(initialise)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (real,) = batch
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = self.generator(torch.randn(len(real), self.noise, 1, 1))

        for_discriminator.zero_grad()
        loss_real = F.binary_cross_entropy_with_logits(self.discriminator(real), ones)
        loss_fake = F.binary_cross_entropy_with_logits(self.discriminator(fake.detach()), zeros)
        self.manual_backward(loss_real + loss_fake)
        for_discriminator.step()

        for_generator.zero_grad()
        loss_generator = F.binary_cross_entropy_with_logits(self.discriminator(fake), ones)
        self.manual_backward(loss_generator)
        for_generator.step()
        self.log_dict({"d_loss": loss_real + loss_fake, "g_loss": loss_generator}, prog_bar=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999)),
            torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999)),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps

    pl.seed_everything(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)
    # Lightning counts the steps of both optimizers.
    trainer = pl.Trainer(max_steps=2 * steps, callbacks=[DynamicsMonitor()])
    trainer.fit(DcGan(), loader)


if __name__ == "__main__":
    main()
