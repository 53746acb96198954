"""A diffusion model (DDPM) on digits of 8×8 pixels: a U-Net with attention predicts the noise.

Watch it: ``tensorboard --logdir lightning_logs``. Needs ``pip install 'dgm-tb[demo]'`` (scikit-learn for the digits).
"""

from __future__ import annotations

import argparse
import math

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_callbacks import DynamicsMonitor


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time step, then a small network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, time: Tensor) -> Tensor:
        half = self.width // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=time.device) / half)
        angles = time[:, None].float() * frequencies
        embedded: Tensor = self.mlp(torch.cat([angles.sin(), angles.cos()], 1))
        return embedded


class ResBlock(nn.Module):
    def __init__(self, before: int, after: int, time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.time = nn.Linear(time, after)
        self.norm2 = nn.GroupNorm(8, after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        out: Tensor = h + self.skip(x)
        return out


class Attention(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        out: Tensor = x + attended.transpose(1, 2).reshape(x.shape)
        return out


class Unet(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.down1 = ResBlock(width, width, width)
        self.shrink = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.down2 = ResBlock(width, 2 * width, width)
        self.middle = ResBlock(2 * width, 2 * width, width)
        self.attention = Attention(2 * width)
        self.grow = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.up = ResBlock(2 * width, width, width)
        self.norm = nn.GroupNorm(8, width)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        t = self.time(time)
        high = self.down1(self.first(x), t)
        low = self.down2(self.shrink(high), t)
        low = self.attention(self.middle(low, t))
        h = self.up(torch.cat([self.grow(low), high], 1), t)
        out: Tensor = self.last(F.silu(self.norm(h)))
        return out


class Diffusion(pl.LightningModule):
    alphas: Tensor

    def __init__(self, times: int = 200) -> None:
        super().__init__()
        self.unet = Unet()
        self.times = times
        self.register_buffer("alphas", torch.cumprod(1 - torch.linspace(1e-4, 0.05, times), 0))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        (images,) = batch
        time = torch.randint(0, self.times, (len(images),), device=self.device)
        noise = torch.randn_like(images)
        alpha = self.alphas[time][:, None, None, None]
        noisy = alpha.sqrt() * images + (1 - alpha).sqrt() * noise
        loss = F.mse_loss(self.unet(noisy, time), noise)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    steps = parser.parse_args().steps

    pl.seed_everything(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)
    trainer = pl.Trainer(max_steps=steps, callbacks=[DynamicsMonitor()])
    trainer.fit(Diffusion(), loader)


if __name__ == "__main__":
    main()
