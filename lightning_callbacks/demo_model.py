"""The demo's model: a variational autoencoder with two stochastic layers, after Liu et al. 2018, Fig. 1."""

from __future__ import annotations

from typing import Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

#: Where the healthy twin keeps its log-variances. Calm ones stay below 0.3; at 4, with 512 units at once, the noise
#: alone throws the decoder off (tried: the loss stays finite and never comes back).
CLAMP: Final = (-6.0, 1.0)
#: Standard deviation of the Gaussian likelihood, in units of the normalised image.
NOISE: Final = 0.5
#: A habit from training GANs (Radford et al. 2016). With it one batch of unusual gradient may move weights by up to
#: (1 − 0.5) / √(1 − 0.999) ≈ 16 learning rates, Adam's own 0.9 allows 3. That is what starts the failure: with
#: (0.9, 0.999) at two and three times the learning rate, or with (0.5, 0.99), no run tried failed in 2,500 steps.
BETAS: Final = (0.5, 0.999)
FEATURES: Final = (16, 16, 128, 512)  # channels of conv1, z1, conv2, z2


class Sampler(nn.Module):
    """Draws from ``N(mean, exp(log_variance))``, reparameterised."""

    def forward(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


class Encoder(nn.Module):
    """``q(z1 | x) q(z2 | z1)``; its heads named ``variance`` give log-variances."""

    def __init__(self, clamped: bool) -> None:
        super().__init__()
        c1, l1, c2, l2 = FEATURES
        self.clamped = clamped
        self.conv1 = nn.Conv2d(3, c1, 4, stride=4)
        self.mean1 = nn.Conv2d(c1, l1, 3, padding=1)
        self.variance1 = nn.Conv2d(c1, l1, 3, padding=1)
        self.sampler1 = Sampler()
        self.conv2 = nn.Conv2d(l1, c2, 4, stride=4)
        self.mean2 = nn.Conv2d(c2, l2, 1)
        self.variance2 = nn.Conv2d(c2, l2, 1)
        self.sampler2 = Sampler()

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        h1 = F.relu(self.conv1(x))
        mean1, variance1 = self.mean1(h1), self._bounded(self.variance1(h1))
        z1 = self.sampler1(mean1, variance1)
        h2 = F.relu(self.conv2(z1))
        mean2, variance2 = self.mean2(h2), self._bounded(self.variance2(h2))
        return (z1, mean1, variance1), (self.sampler2(mean2, variance2), mean2, variance2)

    def _bounded(self, log_variance: Tensor) -> Tensor:
        return log_variance.clamp(*CLAMP) if self.clamped else log_variance


class Decoder(nn.Module):
    """The mean of ``p(x | z1)``, and the mean of ``p(z1 | z2)``, whose variance is 1."""

    def __init__(self) -> None:
        super().__init__()
        c1, l1, _, l2 = FEATURES
        self.deconv1 = nn.ConvTranspose2d(l2, 2 * c1, 4, stride=4)
        self.deconv2 = nn.Conv2d(2 * c1, l1, 3, padding=1)
        self.deconv3 = nn.Conv2d(l1, c1, 3, padding=1)
        self.deconv4 = nn.ConvTranspose2d(c1, 3, 4, stride=4)

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        prior_mean1 = self.deconv2(F.relu(self.deconv1(z2)))
        return prior_mean1, self.deconv4(F.relu(self.deconv3(z1)))


class VariationalAutoencoder(pl.LightningModule):
    """Maximises the evidence lower bound of images ``(batch, 3, 32, 32)``; ``clamped`` bounds its log-variances."""

    def __init__(self, clamped: bool, learning_rate: float, warmup: int) -> None:
        super().__init__()
        self.learning_rate, self.warmup = learning_rate, warmup
        self.encoder = Encoder(clamped)
        self.decoder = Decoder()

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        (x,) = batch
        (z1, mean1, variance1), (z2, mean2, variance2) = self.encoder(x)
        prior_mean1, image = self.decoder(z1, z2)
        reconstruction = ((x - image) ** 2).sum((1, 2, 3)).mean() / (2 * NOISE**2)
        kl = _divergence(mean1 - prior_mean1, variance1) + _divergence(mean2, variance2)
        loss: Tensor = reconstruction + kl
        self.log_dict({"loss": loss, "reconstruction": reconstruction, "kl": kl})
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate, betas=BETAS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / self.warmup))
        return OptimizerLRSchedulerConfig(optimizer=optimizer, lr_scheduler={"scheduler": schedule, "interval": "step"})


def _divergence(distance: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, exp(log_variance)) ‖ N(m − distance, 1)), summed over units, averaged over the batch."""
    return 0.5 * (log_variance.exp() + distance**2 - 1 - log_variance).sum((1, 2, 3)).mean()
