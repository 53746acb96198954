"""An LSTM language model on made-up sentences, its state carried from batch to batch (truncated backpropagation).

Watch it: ``tensorboard --logdir lightning_logs``.
"""

from __future__ import annotations

import argparse
import random
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_callbacks import DynamicsMonitor

WHO = ["the cat", "a dog", "my neighbour", "the old clock", "nobody"]
DOES = ["sees", "follows", "paints", "forgets", "waits for"]
WHEN = ["in the morning", "every night", "while it rains", "again"]


def sentences(count: int) -> list[str]:
    draw = random.Random(0)
    return " . ".join(
        f"{draw.choice(WHO)} {draw.choice(DOES)} {draw.choice(WHO)} {draw.choice(WHEN)}" for _ in range(count)
    ).split()


class LanguageModel(pl.LightningModule):
    def __init__(self, words: int, width: int = 64, layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.drop = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, layers, dropout=dropout, batch_first=True)
        self.decoder = nn.Linear(width, words)
        self.state: tuple[Tensor, Tensor] | None = None

    def on_train_epoch_start(self) -> None:
        self.state = None

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        tokens, targets = batch
        out, (h, c) = self.lstm(self.drop(self.embedding(tokens)), self.state)
        self.state = h.detach(), c.detach()
        logits = self.decoder(self.drop(out))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.log_dict({"loss": loss, "perplexity": loss.exp()}, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=200, gamma=0.7)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    steps = parser.parse_args().steps

    pl.seed_everything(0)
    text, batch_size, length = sentences(6000), 20, 16
    vocabulary = sorted(set(text))
    tokens = torch.tensor([vocabulary.index(word) for word in text])
    # Each of the batch's rows reads on in its own part of the text.
    rows = tokens[: (len(tokens) - 1) // (batch_size * length) * batch_size * length + 1]
    inputs, targets = (
        part.view(batch_size, -1, length).transpose(0, 1).flatten(0, 1) for part in (rows[:-1], rows[1:])
    )
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=batch_size)
    trainer = pl.Trainer(max_steps=steps, gradient_clip_val=0.25, callbacks=[DynamicsMonitor()])
    trainer.fit(LanguageModel(len(vocabulary)), loader)


if __name__ == "__main__":
    main()
