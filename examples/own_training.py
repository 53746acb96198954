"""A training of one's own with the one added line. Run it, then: ``tensorboard --logdir lightning_logs``.

Needs ``pip install 'dgm-tb[demo]'`` (scikit-learn for the digits).
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_callbacks import DynamicsMonitor


class Classifier(pl.LightningModule):
    """Digits of 8×8 pixels; nothing in it knows that it is watched."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        images, digits = batch
        loss = nn.functional.cross_entropy(self.head(self.features(images)), digits)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def main(epochs: int = 5) -> None:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    loader = DataLoader(TensorDataset(images, torch.tensor(digits.target)), batch_size=32, shuffle=True)
    trainer = pl.Trainer(max_epochs=epochs, callbacks=[DynamicsMonitor(every_n_steps=10)])  # the one added line
    trainer.fit(Classifier(), loader)


if __name__ == "__main__":
    main()
