"""lightning_callbacks.demo: data, model and what is trained when; the whole training stands in tests/integration."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dgm_tb.errors import UsageError
from lightning_callbacks import demo
from lightning_callbacks.demo_data import SIDE, patches, standardised
from lightning_callbacks.demo_model import CLAMP, Encoder, VariationalAutoencoder


def test_the_patches_are_photographs_many_of_them_flat() -> None:
    images = patches()
    assert images.shape == (7700, 3, SIDE, SIDE)
    assert 0 <= float(images.min()) < 0.1
    assert 0.9 < float(images.max()) <= 1
    contrast = images.std((2, 3)).mean(1)
    assert 0.2 < float((contrast < 0.02).float().mean()) < 0.6


def test_channels_are_standardised() -> None:
    images = standardised(patches())
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(images.std((0, 2, 3)), torch.ones(3), atol=1e-4)


@pytest.mark.parametrize("clamped", [False, True])
def test_the_model_learns_from_finite_numbers(clamped: bool) -> None:
    torch.manual_seed(0)
    model = VariationalAutoencoder(clamped, learning_rate=1e-3, warmup=10)
    model.log_dict = lambda *_: None  # type: ignore[method-assign]  # there is no trainer to log to
    loss = model.training_step([torch.rand(4, 3, SIDE, SIDE)], 0)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_only_the_healthy_twin_bounds_its_log_variances() -> None:
    images = 1e4 * torch.rand(4, 3, SIDE, SIDE)
    for clamped in (False, True):
        torch.manual_seed(0)
        (_, _, variance1), (_, _, variance2) = Encoder(clamped)(images)
        for variance in (variance1, variance2):
            assert bool(((variance >= CLAMP[0]) & (variance <= CLAMP[1])).all()) is clamped


def test_the_twins_start_alike() -> None:
    weights = []
    for training in (demo.FAILING, demo.HEALTHY):
        torch.manual_seed(1)
        weights.append(VariationalAutoencoder(training.clamped, training.learning_rate, training.warmup).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(("loss", "stops"), [(1.5, False), (float("nan"), True), (float("inf"), False)])
def test_the_training_ends_at_a_loss_that_is_nan(loss: float, stops: bool) -> None:
    trainer = SimpleNamespace(should_stop=False)
    demo.StopAtNaN().on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, None, 0)  # type: ignore[arg-type]
    assert trainer.should_stop is stops


def _noted(directory: Path, age: float = 0.0, **note: object) -> Path:
    directory.mkdir(parents=True)
    path = directory / demo.NOTE
    path.write_text(json.dumps(note))
    os.utime(path, (time.time() - age,) * 2)
    return directory


def test_what_is_there_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    cases = {
        tmp_path / "nothing": "absent",
        tmp_path / "foreign": "foreign",
        _noted(tmp_path / "living", state="training", seed=7): "training",
        _noted(tmp_path / "died", age=2 * demo.ABANDONED, state="training", seed=7): "stale",
        _noted(tmp_path / "done", age=1e6, state="ended", seed=7): "ended",
        _noted(tmp_path / "other", state="ended", seed=8): "stale",
    }
    assert {path: demo.state_of(path, seed=7) for path in cases} == cases


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the trainings that would have run."""
    names: list[str] = []

    def note_only(logdir: Path, training: demo.Training, seed: int, report: Callable[..., None]) -> None:
        names.append(training.name)
        _noted(logdir / training.name, state="ended", seed=seed)

    monkeypatch.setattr(demo, "train", note_only)
    return names


def test_a_second_call_trains_nothing_and_a_fresh_one_everything(tmp_path: Path, trained: list[str]) -> None:
    both = (demo.FAILING, demo.HEALTHY)
    said: list[object] = []
    for fresh in (False, False, True):
        demo.run(tmp_path, both, seed=1, fresh=fresh, report=lambda line: said.append(line["state"]))
    assert trained == ["unclamped", "clamped"] * 2
    assert said == ["kept", "kept"]


def test_another_seed_replaces_the_runs(tmp_path: Path, trained: list[str]) -> None:
    for seed in (1, 2):
        demo.run(tmp_path, (demo.FAILING,), seed=seed, fresh=False, report=lambda line: None)
    assert trained == ["unclamped"] * 2


def test_a_run_that_another_process_trains_is_left_alone(tmp_path: Path, trained: list[str]) -> None:
    note = _noted(tmp_path / "unclamped", state="training", seed=1) / demo.NOTE
    demo.run(tmp_path, (demo.FAILING,), seed=1, fresh=True, report=lambda line: None)
    assert trained == []
    assert note.exists()


def test_a_directory_of_somebody_else_is_never_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "unclamped" / "precious"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(UsageError, match="--logdir"):
        demo.run(tmp_path, (demo.FAILING,), seed=1, fresh=True, report=lambda line: None)
    assert precious.exists()
    assert demo.main([str(tmp_path), "--fresh"]) == 2
    assert json.loads(capsys.readouterr().out)["state"] == "refused"
