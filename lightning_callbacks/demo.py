"""The demo: a training that ends in NaN by itself, and its healthy twin; ``python -m lightning_callbacks.demo LOGDIR``.

Each training has its own directory under LOGDIR, with a note (`NOTE`) of how far it got, so that a second call finds
finished runs and leaves alone what is still training. Progress goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

from dgm_tb.errors import UsageError
from lightning_callbacks import DynamicsMonitor
from lightning_callbacks.demo_data import patches, standardised
from lightning_callbacks.demo_model import VariationalAutoencoder

#: What a run's note says about it; also the sign that a directory is the demo's own and may be replaced.
NOTE: Final = "demo.json"
#: A note that claims "training" and is older than this was left by a process that died; seconds.
ABANDONED: Final = 15.0
#: Seconds between two progress lines.
REPORT_EVERY: Final = 0.5

Report = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Training:
    """One of the demo's trainings; ``name`` is its TensorBoard run. ``max_steps`` ends it if nothing else does."""

    name: str
    clamped: bool
    max_steps: int
    every_n_steps: int
    batch_size: int = 32
    learning_rate: float = 4e-3
    warmup: int = 200


#: Every step is captured: the spike that begins the end is a few steps wide.
FAILING: Final = Training("unclamped", clamped=False, max_steps=6000, every_n_steps=1)
#: Long enough to outlive its twin, and captured sparsely. The clamp cures the overflow, not the optimizer (`BETAS` in
#: the model): left alone this run leaves the rails as well at step 1,560, by its mean2, though its loss stays finite.
HEALTHY: Final = Training("clamped", clamped=True, max_steps=1500, every_n_steps=5)
#: Chosen: this run fails after some 1,300 steps, and variance2 jumps most into its spike; other seeds are shown by
#: ``python -m benchmarks ranking``.
SEED: Final = 2


class StopAtNaN(pl.Callback):
    """Ends the training after the step whose loss is NaN: nothing can be learned from then on."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: object) -> None:
        if math.isnan(float(outputs["loss"])):
            trainer.should_stop = True


class Progress(pl.Callback):
    """Reports step and loss, and keeps the run's note fresh, every `REPORT_EVERY` seconds and at the end."""

    def __init__(self, note: Path, known: Mapping[str, object], report: Report) -> None:
        self._note, self._known, self._report = note, dict(known), report
        self._next = 0.0
        self._last: dict[str, object] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: object) -> None:
        loss = float(outputs["loss"])
        # JSON has no NaN: a non-finite loss is written as its name.
        self._last = {"step": trainer.global_step, "loss": loss if math.isfinite(loss) else str(loss)}
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_EVERY
            self._say("training")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._say("ended")

    def _say(self, state: str) -> None:
        line = {**self._known, **self._last, "state": state}
        self._note.write_text(json.dumps(line))
        self._report(line)


def train(logdir: Path, training: Training, seed: int, report: Report) -> None:
    """Runs one training into ``logdir / training.name``, which must not exist."""
    pl.seed_everything(seed, verbose=False)
    logger = TensorBoardLogger(logdir, name=training.name, version="")
    note = Path(logger.log_dir) / NOTE
    note.parent.mkdir(parents=True)
    known = {"run": training.name, "seed": seed, "max_steps": training.max_steps}
    note.write_text(json.dumps({**known, "state": "training"}))
    monitor = DynamicsMonitor(every_n_steps=training.every_n_steps)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=training.max_steps,
        logger=logger,
        log_every_n_steps=10,
        callbacks=[monitor, StopAtNaN(), Progress(note, known, report)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    images = TensorDataset(standardised(patches()))
    loader = DataLoader(images, training.batch_size, shuffle=True, drop_last=True)
    trainer.fit(VariationalAutoencoder(training.clamped, training.learning_rate, training.warmup), loader)


def state_of(directory: Path, seed: int) -> str:
    """``absent``, ``foreign`` (not the demo's), ``training`` (just now), ``ended``, or ``stale`` (to be replaced)."""
    if not directory.exists():
        return "absent"
    note = directory / NOTE
    if not note.is_file():
        return "foreign"
    said = json.loads(note.read_text() or "{}")
    if said.get("state") == "training" and time.time() - note.stat().st_mtime < ABANDONED:
        return "training"
    return "ended" if said.get("state") == "ended" and said.get("seed") == seed else "stale"


def run(logdir: Path, trainings: tuple[Training, ...], seed: int, fresh: bool, report: Report) -> None:
    """Runs those trainings that are not there yet; all of them with ``fresh``.

    Raises `UsageError` where a directory holds something that is not the demo's.
    """
    for training in trainings:
        directory = logdir / training.name
        state = state_of(directory, seed)
        if state == "foreign":
            raise UsageError(f"{directory} is there and not the demo's: choose another directory with --logdir")
        if state == "training" or (state == "ended" and not fresh):
            report({"run": training.name, "state": "kept" if state == "ended" else "elsewhere"})
            continue
        shutil.rmtree(directory, ignore_errors=True)
        train(logdir, training, seed, report)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lightning_callbacks.demo", description=__doc__)
    parser.add_argument("logdir", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--fresh", action="store_true", help="train again, even what is there already")
    parser.add_argument("--no-healthy", action="store_true", help="only the run that fails")
    asked = parser.parse_args(arguments)
    # One thread leaves the second core to TensorBoard and the browser; the model is too small to use more.
    torch.set_num_threads(1)
    # Hints about workers, accelerators and deprecations of others would bury the progress.
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    trainings = (FAILING,) if asked.no_healthy else (FAILING, HEALTHY)
    try:
        run(asked.logdir, trainings, asked.seed, asked.fresh, lambda line: print(json.dumps(line), flush=True))
    except UsageError as error:
        print(json.dumps({"state": "refused", "message": str(error)}), flush=True)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
