"""Trainings that stop and go on: resumed in the middle of an epoch, fitted several times, validated in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dgm_tb.moments import COUNT
from dgm_tb.store.run import Run
from tests.conformance import harness
from tests.conformance.cases import GAN, MLP, Case
from tests.conformance.harness import Batches, Trained, quietly


class _StopError(Exception):
    pass


def _stopping(framework: Any, after: int) -> Any:
    """A callback that stops the training like a crash, ``after`` so many batches."""

    class Stop(framework.Callback):  # type: ignore[misc]
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == after:
                raise _StopError

    return Stop()


def _one_batch(case: Case, copies: int) -> Batches:
    """The same batch again and again: what a resumed training reads does not depend on how the loader resumes."""
    batches = Batches(case)
    batches.all = batches.all[:1] * copies
    return batches


def assert_same_record(one: Run, other: Run) -> None:
    assert one.problems == other.problems == ()
    assert one.steps.tolist() == other.steps.tolist()
    assert one.keys == other.keys
    for key in one.keys:
        np.testing.assert_array_equal(one.read(key, slice(None)), other.read(key, slice(None)), key.tag)
    np.testing.assert_array_equal(one.losses.steps, other.losses.steps)
    column = one.losses.columns.index("loss"), other.losses.columns.index("loss")
    np.testing.assert_array_equal(one.losses.values[column[0]], other.losses.values[column[1]])


def test_resumed_in_the_middle_of_an_epoch_the_record_is_that_of_an_uninterrupted_training(
    framework: Any, tmp_path: Path
) -> None:
    batches = _one_batch(MLP, 12)
    whole = harness.by_lightning(framework, MLP, tmp_path, harness.monitor(MLP, tmp_path / "whole"), batches=batches)
    # Steps 5, 6 and 7 are recorded before the crash and once more after the checkpoint: the later ones count.
    saved = framework.callbacks.ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    with pytest.raises(_StopError):
        harness.by_lightning(
            framework,
            MLP,
            tmp_path,
            harness.monitor(MLP, tmp_path / "run"),
            _stopping(framework, 8),
            saved,
            batches=batches,
            enable_checkpointing=True,
        )
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == list(range(8))
        assert run.end_reason == "exception"
    resumed = _resume(framework, tmp_path, batches, tmp_path / "epoch=0-step=5.ckpt")
    for name, value in whole.state.items():
        assert torch.equal(value, resumed.state[name]), name
    with Run(tmp_path / "whole") as one, Run(tmp_path / "run") as other:
        assert one.steps.tolist() == list(range(12))
        assert_same_record(one, other)
        assert other.end_reason == "finished"


def _resume(framework: Any, directory: Path, batches: Batches, checkpoint: Path) -> Trained:
    module = harness.lightning_module(framework, MLP, harness.build(MLP), [])
    training = quietly(harness.trainer, framework, directory, harness.monitor(MLP, directory / "run"))
    quietly(training.fit, module, batches, ckpt_path=checkpoint)
    return Trained(module, list(training.optimizers), [], torch.get_rng_state())


@pytest.mark.parametrize("case", [MLP, GAN], ids=str)
def test_several_fits_make_one_record(framework: Any, case: Case, tmp_path: Path) -> None:
    batches = _one_batch(case, 3)
    network = harness.build(case)
    module = harness.lightning_module(framework, case, network, [])
    training = quietly(harness.trainer, framework, tmp_path, harness.monitor(case, tmp_path / "run"))
    for epochs in (1, 2, 3):
        training.fit_loop.max_epochs = epochs
        quietly(training.fit, module, batches)
        assert harness.left_hooked(Trained(module, list(training.optimizers), [], torch.get_rng_state())) == []
    with Run(tmp_path / "run") as run:
        assert run.problems == ()
        assert run.steps.tolist() == run.losses.steps.tolist() == list(range(9))
        for key in run.keys:
            assert (run.read(key, slice(None))[COUNT] > 0).all(), key.tag


def test_only_fit_records(framework: Any, tmp_path: Path) -> None:
    class Validated(type(harness.lightning_module(framework, MLP, harness.build(MLP), []))):  # type: ignore[misc]
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert not any(module._forward_hooks for module in self.modules())
            self.log("val_loss", self.network.loss(batch))

        def test_step(self, batch: Any, batch_idx: int) -> Tensor:
            assert not any(module._forward_hooks for module in self.modules())
            return self.network.loss(batch)  # type: ignore[no-any-return]

        predict_step = test_step

    module, batches = Validated(), Batches(MLP)
    monitor = harness.monitor(MLP, tmp_path / "run")
    training = quietly(harness.trainer, framework, tmp_path, monitor, limit_val_batches=2)
    for call in (training.validate, training.test, training.predict):
        quietly(call, module, batches)
        assert monitor.recorder is None
        assert not (tmp_path / "run").exists()
    quietly(training.fit, module, batches, batches)
    sizes = {path: path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for call in (training.validate, training.test, training.predict):
        quietly(call, module, batches)
    assert sizes == {path: path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == list(range(4))
        assert {tuple(run.read(key, slice(None))[COUNT, :, 0]) for key in run.keys if key.quantity == "activation"} == {
            (4.0,) * 4  # the batches of the training, not those of the validation before and after it
        }
        assert "val_loss" in run.losses.columns
