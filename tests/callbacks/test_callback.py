from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dgm_tb.errors import UsageError
from dgm_tb.moments import COUNT, NONFINITE
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Group, Recorder, options, trainers
from tests.callbacks import networks
from tests.callbacks.networks import Gan, Mlp, fit, lightning_module, loader

pytestmark = pytest.mark.usefixtures("unbroken")


def _logger(framework: Any) -> Any:
    """A logger that remembers what it was given, with Lightning's own steps."""

    class Memory(framework.loggers.logger.Logger):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen: list[tuple[int, dict[str, float]]] = []

        name = version = "memory"

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            pass

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            assert step is not None
            self.seen.append((step, metrics))

    return Memory()


def _trained(framework: Any, network: type[Any], directory: Path, *callbacks: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    data = loader(network)
    module = lightning_module(framework, network())
    log = _logger(framework)
    fit(
        framework,
        module,
        data,
        directory,
        *callbacks,
        max_epochs=2,
        logger=log,
        log_every_n_steps=1,
        gradient_clip_val=None if network is Gan else 0.5,
    )
    drawn = np.random.random()  # noqa: NPY002
    return {
        "state": module.state_dict(),
        "random": torch.get_rng_state(),
        "numpy": drawn,
        "losses": [m for _, m in log.seen if "epoch" in m],
    }


@pytest.mark.parametrize("network", networks.EVERY)
def test_training_is_bit_equal_with_capture_on_every_step(framework: Any, network: type[Any], tmp_path: Path) -> None:
    np.random.seed(0)  # noqa: NPY002
    without = _trained(framework, network, tmp_path)
    np.random.seed(0)  # noqa: NPY002
    monitor = DynamicsMonitor(1, log_dir=tmp_path / "run")
    captured = _trained(framework, network, tmp_path, monitor)
    assert without["state"].keys() == captured["state"].keys()
    for name, value in without["state"].items():
        assert torch.equal(value, captured["state"][name]), name
    assert torch.equal(without["random"], captured["random"])
    assert without["numpy"] == captured["numpy"]
    assert without["losses"] == captured["losses"]
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == list(range(8))
        assert run.problems == ()
        assert run.end_reason == "finished"


def test_a_trainer_takes_the_callback_without_a_list(framework: Any, tmp_path: Path) -> None:
    trainer = framework.Trainer(
        callbacks=DynamicsMonitor(),
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    assert any(isinstance(callback, DynamicsMonitor) for callback in trainer.callbacks)


@pytest.mark.parametrize(("network", "accumulated"), [(Mlp, 1), (Mlp, 3), (Gan, 1)])
def test_the_step_axis_is_that_of_lightnings_logging(
    framework: Any, network: type[Any], accumulated: int, tmp_path: Path
) -> None:
    log = _logger(framework)
    monitor = DynamicsMonitor(1, log_dir=tmp_path)
    fit(
        framework,
        lightning_module(framework, network()),
        loader(network),
        tmp_path,
        monitor,
        max_epochs=2,
        logger=log,
        log_every_n_steps=1,
        accumulate_grad_batches=accumulated,
    )
    name = "generator" if network is Gan else "logged"
    logged = {step: metrics[name] for step, metrics in log.seen if name in metrics}
    with Run(tmp_path) as run:
        assert run.steps.tolist() == list(logged) == run.losses.steps.tolist()
        column = run.losses.values[run.losses.columns.index(name)]
        np.testing.assert_allclose(column, list(logged.values()), rtol=1e-6)
        assert len(logged) == (4 if accumulated == 3 else 8)


def test_accumulated_batches_merge_and_the_loss_is_their_mean(pl: Any, tmp_path: Path) -> None:
    seen: list[float] = []

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss: Tensor = nn.functional.cross_entropy(self.fc(batch[0]), batch[1])
            seen.append(float(loss.detach()))
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    fit(pl, Module(), loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path), accumulate_grad_batches=2)
    with Run(tmp_path) as run:
        np.testing.assert_allclose(run.losses.values[0], np.reshape(seen, (2, 2)).mean(1), rtol=1e-6)
        counts = run.read(RowKey("fc", "backward#0", "activation"), slice(None))[COUNT]
        assert counts.tolist() == [[8.0] * 3] * 2
        assert run.context[:, CONTEXT.index("batch_index")].tolist() == [1, 3]
        assert run.context[:, CONTEXT.index("global_step")].tolist() == [1, 2]


def test_each_optimizers_weights_stand_under_its_own_program(pl: Any, tmp_path: Path) -> None:
    fit(pl, lightning_module(pl, Gan()), loader(Gan), tmp_path, DynamicsMonitor(1, log_dir=tmp_path))
    with Run(tmp_path) as run:
        programs = {(key.node, key.program) for key in run.keys if key.quantity == "update"}
        assert programs == {(f"network.discriminator.{k}", "backward#0") for k in (0, 2)} | {
            (f"network.generator.{k}", "backward#1") for k in (0, 2)
        }
        assert run.losses.columns == ("loss", "discriminator", "generator", "loss/backward#0", "loss/backward#1")
        total, _, _, first, second = run.losses.values
        np.testing.assert_allclose(total, first + second, rtol=1e-6)


def test_the_gradient_is_read_before_it_is_clipped(pl: Any, tmp_path: Path) -> None:
    for clip in (None, 1e-6):
        torch.manual_seed(0)
        fit(
            pl,
            lightning_module(pl, Mlp()),
            loader(Mlp),
            tmp_path,
            DynamicsMonitor(1, log_dir=tmp_path / str(clip)),
            gradient_clip_val=clip,
            max_steps=1,
        )
    with Run(tmp_path / "None") as free, Run(tmp_path / "1e-06") as clipped:
        key = RowKey("network.first", "backward#0", "weight_gradient")
        np.testing.assert_array_equal(free.read(key, slice(None)), clipped.read(key, slice(None)))
        norm = CONTEXT.index("gradient_norm")
        assert free.context[0, norm] == clipped.context[0, norm] > 1e-3


def test_schedule_with_the_last_step(pl: Any, tmp_path: Path) -> None:
    for network in (Mlp, Gan):
        directory = tmp_path / network.__name__
        fit(
            pl,
            lightning_module(pl, network()),
            loader(network),
            tmp_path,
            DynamicsMonitor(4, log_dir=directory),
            max_epochs=3,
        )
        with Run(directory) as run:
            assert run.steps.tolist() == [0, 1, 2, 4, 8, 11]


def test_without_a_logger_runs_are_numbered_below_the_root(pl: Any, tmp_path: Path) -> None:
    for _ in range(2):
        fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor())
    assert sorted(path.name for path in (tmp_path / "dgm").iterdir()) == ["version_0", "version_1"]


def test_beside_tensorboards_logger_with_the_small_plane(framework: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    logger = framework.loggers.TensorBoardLogger(tmp_path)
    trainer = fit(
        framework, lightning_module(framework, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor(1), logger=logger
    )
    logger.experiment.close()
    with Run(Path(trainer.log_dir)) as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
    (events,) = Path(trainer.log_dir).glob("events*")
    values = [
        value
        for event in EventFileLoader(str(events)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "dgm"
    ]
    assert {value.tag for value in values} == {
        f"dgm/{q}" for q in ("activation", "gradient", "weight", "weight_gradient", "update")
    }


def test_a_csv_logger_has_the_run_beside_its_file(pl: Any, tmp_path: Path) -> None:
    logger = pl.loggers.CSVLogger(tmp_path)
    fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor(), logger=logger)
    with Run(Path(logger.log_dir)) as run:
        assert len(run.steps)


@pytest.mark.usefixtures("degrading")
def test_an_unwritable_directory_is_said_once_and_the_training_goes_on(
    pl: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    trainer = fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path / "file"))
    assert trainer.global_step == 4
    assert caplog.text.count("the recording stopped, the training goes on") == 1


class _Broken(Mlp):
    calls = 0

    def loss(self, batch: Any) -> Tensor:
        self.calls += 1
        loss = super().loss(batch)
        if self.calls == 3:
            raise RuntimeError("out of luck")
        return loss


def test_an_exception_in_the_training_step_leaves_a_readable_run_and_no_hooks(framework: Any, tmp_path: Path) -> None:
    module = lightning_module(framework, _Broken())
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(framework, module, loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1]
        assert run.losses.steps.tolist() == [0, 1]
        assert run.end_reason == "exception"


def _with_validation(pl: Any) -> Any:
    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return nn.functional.cross_entropy(self.fc(batch[0]), batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert not self.fc._forward_hooks
            self.log("val_loss", nn.functional.cross_entropy(self.fc(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    return Module()


def test_validation_is_not_captured_and_its_metric_stands_at_the_step_before_it(pl: Any, tmp_path: Path) -> None:
    module = _with_validation(pl)
    data = loader(Mlp)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            val_check_interval=2,
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[DynamicsMonitor(1, log_dir=tmp_path)],
        )
        trainer.fit(module, data, data)
    with Run(tmp_path) as run:
        counts = run.read(RowKey("fc", "backward#0", "activation"), slice(None))[COUNT, :, 0]
        assert counts.tolist() == [4.0] * 8
        logged = run.losses.logged[run.losses.columns.index("val_loss")]
        assert run.losses.steps[logged].tolist() == [1, 3, 5, 7]


def test_validate_test_and_fast_dev_run_record_nothing(pl: Any, tmp_path: Path) -> None:
    monitor = DynamicsMonitor(1, log_dir=tmp_path / "run")
    fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, monitor, fast_dev_run=True)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
            callbacks=[monitor],
        ).validate(_with_validation(pl), loader(Mlp), verbose=False)
    assert not (tmp_path / "run").exists()


def test_several_fits_are_several_sessions(pl: Any, tmp_path: Path) -> None:
    monitor = DynamicsMonitor(1, log_dir=tmp_path)
    module = lightning_module(pl, Mlp())
    trainer = fit(pl, module, loader(Mlp), tmp_path, monitor)
    trainer.fit_loop.max_epochs = 2
    fit(pl, module, loader(Mlp), tmp_path, trainer=trainer)
    assert len(list((tmp_path / "plugins" / "dgm").iterdir())) == 2
    with Run(tmp_path) as run:
        assert run.steps.tolist() == list(range(8))
    assert not any(m._forward_hooks for m in module.modules())
    fit(pl, module, loader(Mlp), tmp_path, monitor, max_epochs=1)  # another trainer begins anew
    assert monitor.state_dict() == {"step": 4}


def test_a_resumed_training_goes_on_where_the_checkpoint_was(framework: Any, tmp_path: Path) -> None:
    checkpoint = framework.callbacks.ModelCheckpoint(
        dirpath=tmp_path / "checkpoints", every_n_train_steps=3, save_top_k=-1
    )
    for path, epochs in ((None, 1), (tmp_path / "checkpoints" / "epoch=0-step=3.ckpt", 2)):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log = _logger(framework)
            trainer = framework.Trainer(
                accelerator="cpu",
                max_epochs=epochs,
                logger=log,
                log_every_n_steps=1,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tmp_path,
                callbacks=[DynamicsMonitor(1, log_dir=tmp_path / "run"), checkpoint],
            )
            trainer.fit(lightning_module(framework, Mlp()), loader(Mlp), ckpt_path=path)
    resumed = [step for step, metrics in log.seen if "logged" in metrics]
    with Run(tmp_path / "run") as run:
        assert run.steps.tolist() == [*range(resumed[0]), *resumed]


def test_misuse_is_told_at_once_or_in_setup(pl: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="every_n_steps=0"):
        DynamicsMonitor(0)
    with pytest.raises(UsageError, match="did you mean 'gradient'"):
        DynamicsMonitor(quantities=["gradients"])
    with pytest.raises(UsageError, match="include='decodr' matches no module path"):
        fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor(include="decodr"))
    monitor = DynamicsMonitor(groups={"lst": Group(every_n_steps=9)})
    with pytest.raises(UsageError, match="groups='lst' matches no module path; did you mean"):
        fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, monitor)


def test_the_monitor_the_recorder_and_the_options_take_the_same_arguments() -> None:
    def arguments(function: Callable[..., Any], *without: str) -> dict[str, Any]:
        found = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in found if p.name not in ("self", *without)}

    asked = arguments(DynamicsMonitor.__init__, "log_dir")
    assert asked == arguments(Recorder.__init__, "module", "directory", "last_step", "clock")
    assert asked == arguments(options.parse) | {"max_disk": "2GiB"}


class _Diverging(Mlp):
    """Its loss is not finite at step 5, the second of the second epoch."""

    calls = 0

    def loss(self, batch: Any) -> Tensor:
        self.calls += 1
        return super().loss(batch) * (math.inf if self.calls == 6 else 1.0)


def test_when_the_loss_turns_bad_its_gradients_are_recorded(framework: Any, tmp_path: Path) -> None:
    monitor = DynamicsMonitor(50, log_dir=tmp_path)
    fit(framework, lightning_module(framework, _Diverging()), loader(Mlp), tmp_path, monitor, max_epochs=2)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 4, 5, 6, 7]
        activation, gradient = (
            run.read(RowKey("network.last", "backward#0", quantity), slice(None))
            for quantity in ("activation", "weight_gradient")
        )
        assert activation[COUNT, 4].tolist() == [0.0] * 3
        assert gradient[NONFINITE, 4].sum() > 0
        assert run.context[4, CONTEXT.index("batch_index")] == 1
        assert run.losses.steps[run.losses.logged[run.losses.columns.index("dgm/non-finite")]].tolist() == [5]


@pytest.mark.usefixtures("degrading")
@pytest.mark.parametrize("broken", ["logged", "context", "stepped", "between", "last_step"])
def test_what_lightning_keeps_elsewhere_is_missing_and_the_recording_goes_on(
    pl: Any, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def moved(*_: Any) -> Any:
        raise AttributeError("no attribute '_results'")

    monkeypatch.setattr(trainers, broken, moved)
    fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, DynamicsMonitor(1, log_dir=tmp_path), max_epochs=2)
    assert caplog.text.count("may be missing, the recording goes on: AttributeError") == 1
    with Run(tmp_path) as run:
        assert run.steps.tolist() == list(range(8))
        assert run.losses.logged[run.losses.columns.index("loss")].all()
        assert ("logged" in run.losses.columns) == (broken != "logged")
        assert np.isfinite(run.context[:, CONTEXT.index("learning_rate")]).all() == (broken != "context")
        assert run.end_reason == "finished"


def test_a_gan_with_groups(framework: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lightning_callbacks")
    groups: dict[str | type[nn.Module], Group] = {
        "generator": Group(every_n_steps=3),
        nn.LeakyReLU: Group(every_n_steps=100),
    }
    monitor = DynamicsMonitor(5, groups=groups, log_dir=tmp_path)
    fit(framework, lightning_module(framework, Gan()), loader(Gan), tmp_path, monitor, max_epochs=3)
    with Run(tmp_path) as run:
        assert run.steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
        seen = {
            node: run.steps[run.read(RowKey(f"network.{node}", program, "activation"), slice(None))[COUNT, :, 0] > 0]
            for node, program in (
                ("generator.0", "backward#1"),
                ("discriminator.0", "backward#0"),
                ("discriminator.1", "backward#0"),
            )
        }
        assert {node: steps.tolist() for node, steps in seen.items()} == {
            "generator.0": [0, 1, 2, 3, 6, 9, 11],
            "discriminator.0": [0, 1, 2, 4, 5, 10, 11],
            "discriminator.1": [0, 1, 2, 4, 8, 11],
        }
        assert {key.program for key in run.keys if key.quantity == "update" and "generator" in key.node} == {
            "backward#1"
        }


def test_training_is_bit_equal_where_a_bad_loss_is_captured_late(framework: Any, tmp_path: Path) -> None:
    states = []
    for callbacks in ((), (DynamicsMonitor(50, log_dir=tmp_path),)):
        torch.manual_seed(0)
        module = lightning_module(framework, _Diverging())
        fit(framework, module, loader(Mlp), tmp_path, *callbacks, max_epochs=2)
        states.append(module.state_dict())
    for name, value in states[0].items():
        np.testing.assert_array_equal(value.numpy(), states[1][name].numpy(), err_msg=name)  # NaN equals NaN
    assert any(bool(value.isnan().any()) for value in states[0].values())
