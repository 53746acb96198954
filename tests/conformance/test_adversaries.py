"""Two optimizers in the ways that people write them: toggled, and each in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dgm_tb.moments import COUNT
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from tests.conformance import harness
from tests.conformance.cases import GAN
from tests.conformance.harness import Batches, Trained, quietly
from tests.conformance.test_sessions import assert_same_record


def _train(framework: Any, step: Any, directory: Path, record: bool) -> Trained:
    """Trains a GAN by ``step(module, batch, index)``."""
    network = harness.build(GAN)

    class Training(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            step(self, batch, batch_idx)

        def configure_optimizers(self) -> Any:
            return harness.optimizers_of(GAN, self.network)

    module = Training()
    monitors = [harness.monitor(GAN, directory)] if record else []
    training = quietly(harness.trainer, framework, directory, *monitors)
    torch.manual_seed(harness.SEED + 2)
    quietly(training.fit, module, Batches(GAN, copies=2))
    trained = Trained(module, list(training.optimizers), [], torch.get_rng_state())
    assert harness.left_hooked(trained) == []
    return trained


def _plainly(module: Any, batch: Any, index: int, toggled: bool = False) -> None:
    for loss_of, optimizer in zip(module.network.losses(batch[0]), module.optimizers(), strict=True):
        if toggled:
            module.toggle_optimizer(optimizer)
        loss = loss_of()
        optimizer.zero_grad()
        module.manual_backward(loss)
        optimizer.step()
        if toggled:
            module.untoggle_optimizer(optimizer)


def _toggled(module: Any, batch: Any, index: int) -> None:
    _plainly(module, batch, index, toggled=True)


def _in_turn(module: Any, batch: Any, index: int) -> None:
    loss_of, optimizer = list(zip(module.network.losses(batch[0]), module.optimizers(), strict=True))[index % 2]
    optimizer.zero_grad()
    module.manual_backward(loss_of())
    optimizer.step()


def test_a_toggled_optimizer_changes_nothing_in_the_record(framework: Any, tmp_path: Path) -> None:
    _train(framework, _plainly, tmp_path / "plain", record=True)
    captured = _train(framework, _toggled, tmp_path / "toggled", record=True)
    without = _train(framework, _toggled, tmp_path / "none", record=False)
    harness.assert_same_training(captured, without)
    with Run(tmp_path / "plain") as one, Run(tmp_path / "toggled") as other:
        assert_same_record(one, other)


def test_optimizers_in_turn_have_rows_of_their_own_and_one_program_with_both_names(pl: Any, tmp_path: Path) -> None:
    captured = _train(pl, _in_turn, tmp_path / "run", record=True)
    without = _train(pl, _in_turn, tmp_path / "none", record=False)
    harness.assert_same_training(captured, without)
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == list(range(8))
        for node, steps in {"discriminator.0": [0, 2, 4, 6], "generator.0": [1, 3, 5, 7]}.items():
            counts = run.read(RowKey(f"network.{node}", "backward#0", "update"), slice(None))[COUNT, :, 0]
            assert [step for step, count in enumerate(counts) if count] == steps
        assert run.graph is not None
        assert run.graph.programs == {"backward#0": "discriminator (Adam) or generator (Adam)"}
