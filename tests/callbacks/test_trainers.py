from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_callbacks import trainers


@pytest.mark.parametrize(
    ("automatic", "trainer", "expected"),
    [
        (True, {"estimated_stepping_batches": 12}, 11),
        (True, {"estimated_stepping_batches": math.inf}, None),
        (False, {"max_steps": -1, "max_epochs": 3, "num_training_batches": 4}, 11),
        (False, {"max_steps": -1, "max_epochs": 3, "num_training_batches": math.inf}, None),
        (False, {"max_steps": 10, "max_epochs": 3, "num_training_batches": 4}, None),
        (False, {"max_steps": -1, "max_epochs": -1, "num_training_batches": 4}, None),
        (False, {"max_steps": -1, "max_epochs": None, "num_training_batches": 4}, None),
    ],
)
def test_the_last_step_where_it_is_known(automatic: bool, trainer: dict[str, Any], expected: int | None) -> None:
    module = SimpleNamespace(automatic_optimization=automatic)
    assert trainers.last_step(SimpleNamespace(**trainer), module) == expected


def test_runs_without_a_logger_are_counted(tmp_path: Path) -> None:
    trainer = SimpleNamespace(loggers=[], default_root_dir=tmp_path)
    assert trainers.free_directory(trainer) == tmp_path / "dgm" / "version_0"
    (tmp_path / "dgm" / "version_0").mkdir(parents=True)
    assert trainers.free_directory(trainer) == tmp_path / "dgm" / "version_1"


def test_the_numbers_beside_a_snapshot() -> None:
    scale = torch.tensor(2.0)
    trainer = SimpleNamespace(
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])],
        precision_plugin=SimpleNamespace(scaler=SimpleNamespace(_scale=scale)),
        current_epoch=3,
        global_step=7,
    )
    found = trainers.context(trainer, 5)
    assert found == {"epoch": 3, "batch_index": 5, "global_step": 7, "learning_rate": 0.5, "amp_scale": scale}
    trainer.optimizers, trainer.precision_plugin = [], None
    found = trainers.context(trainer, 5)
    assert math.isnan(found["learning_rate"])
    assert math.isnan(found["amp_scale"])
