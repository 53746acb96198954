"""What goes wrong inside capture: recording degrades or stops with one clear warning, and no training notices."""

from __future__ import annotations

import errno
import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dgm_tb.moments import COUNT
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder, moments
from tests.callbacks.networks import Mlp, fit, lightning_module, loader
from tests.waiting import until


@dataclass
class Made:
    """A class of the user's own that is no dataclass to torch's pytrees."""

    value: Tensor
    label: str = "made"


class Opaque:
    def __init__(self, value: Tensor) -> None:
        self.value = value


STRANGE: dict[str, Callable[[Tensor], Any]] = {
    "sparse": lambda x: x.to_sparse(),
    "compressed": lambda x: x.to_sparse_csr(),
    "complex": lambda x: torch.complex(x, -x),
    "nested-tensor": lambda x: torch.nested.as_nested_tensor(list(x), layout=torch.jagged),
    "nested-strided": lambda x: torch.nested.as_nested_tensor([x[0], x[1]], layout=torch.strided),
    "deep": lambda x: {"a": [(x * 1.0, {"b": x + 1})], "c": None},
    "none": lambda x: None,
    "opaque": Opaque,
    "dataclass": Made,
    "zero-size": lambda x: x[:, :0],
    "no-samples": lambda x: x[:0],
    "scalar": lambda x: x.sum(),
    "integers": lambda x: x.argmax(1),
    "booleans": lambda x: x > 0,
    "half": lambda x: x.half(),
    "meta": lambda x: x.detach().to("meta"),
    "expanded": lambda x: x[:, :1].expand(-1, 5),
    "shared-twice": lambda x: (x, x),
    "text": lambda x: "text",
    "generator": lambda x: (row for row in x),
    "not-a-number": lambda x: x * torch.nan,
    "float8": lambda x: x.detach().to(torch.float8_e4m3fn),
}


class Odd(nn.Module):
    def __init__(self, output: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.output = output
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Any:
        return self.output(x * self.scale)


def _train(directory: Path | None, output: Callable[[Tensor], Any], steps: int = 3) -> tuple[nn.Module, Any, Tensor]:
    torch.manual_seed(0)
    net = nn.ModuleDict({"before": nn.Linear(4, 3), "odd": Odd(output), "after": nn.Linear(3, 2)})
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    recorder = None if directory is None else Recorder(net, directory, every_n_steps=1)
    for _ in range(steps):
        x = torch.randn(5, 4)
        with nullcontext() if recorder is None else recorder.step(x):
            h = net["before"](x)
            net["odd"](h)
            net["after"](h * net["odd"].scale).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    if recorder is not None:
        recorder.close()
    return net, recorder, torch.get_rng_state()


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith(("lightning_callbacks", "dgm_tb"))
    ]


@pytest.mark.filterwarnings("ignore:.*(beta state|prototype stage).*")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_output_costs_no_other_row(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    without, _, random = _train(None, STRANGE[kind])
    captured, recorder, drawn = _train(tmp_path, STRANGE[kind])
    assert recorder.failure is None, recorder.failure
    assert _said(caplog) == []
    for name, value in without.state_dict().items():
        assert torch.equal(value, captured.state_dict()[name]), name
    assert torch.equal(random, drawn)
    with Run(tmp_path) as run:
        assert run.problems == ()
        assert run.steps.tolist() == [0, 1, 2]
        for node in ("before", "after"):
            for quantity in ("activation", "gradient", "weight", "weight_gradient", "update"):
                assert (run.read(RowKey(node, "backward#0", quantity), slice(None))[COUNT] > 0).all(), quantity


@dataclass
class Trouble:
    """What goes wrong, and the words of the one warning."""

    words: str
    happens: Callable[[pytest.MonkeyPatch, Path], Any]


def _raising(error: Exception, after: int) -> Callable[[pytest.MonkeyPatch, Path], Any]:
    """The reduction raises from its call ``after`` on."""

    def happens(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        calls = [0]
        original = moments.reduce

        def reduce(*args: Any, **kwargs: Any) -> Tensor:
            calls[0] += 1
            if calls[0] > after:
                raise error
            return original(*args, **kwargs)

        monkeypatch.setattr(moments, "reduce", reduce)

    return happens


def _vanishes(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    gone = directory.rename(directory.with_name("gone"))  # at once: the writer makes no new file meanwhile
    shutil.rmtree(gone)


TROUBLES = {
    "memory": Trouble("MemoryError", _raising(MemoryError(), 8)),
    "device-memory": Trouble(
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        _raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), 8),
    ),
    "at-once": Trouble("RuntimeError: out of luck", _raising(RuntimeError("out of luck"), 0)),
    "vanished": Trouble("FileNotFoundError", _vanishes),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_said_once_and_the_training_goes_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = TROUBLES[name]
    without = _recorded_mlp(None)
    captured = _recorded_mlp(tmp_path / "run", lambda: trouble.happens(monkeypatch, tmp_path / "run"))
    _equal(without, captured)
    said = _said(caplog)
    assert len(said) == 1, said
    assert said[0].startswith("DGM: the recording stopped, the training goes on: ")
    assert trouble.words in said[0]


@contextmanager
def _files_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes: writing fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_once_and_what_was_written_stays_readable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without = _recorded_mlp(None)
    with _files_at_most(100_000):
        captured = _recorded_mlp(tmp_path)
    _equal(without, captured)
    said = _said(caplog)
    assert len(said) == 1, said
    assert f"[Errno {errno.EFBIG}]" in said[0]
    assert "free some space, or record elsewhere with log_dir=" in said[0]
    with Run(tmp_path) as run:
        assert run.problems == ()
        steps = run.steps.tolist()
        assert steps == list(range(len(steps)))
        assert 5 < len(steps) < 200


def _recorded_mlp(
    directory: Path | None, trouble: Callable[[], Any] = lambda: None, steps: int = 200
) -> dict[str, Any]:
    """A training of ``steps`` steps, in which ``trouble`` happens at the fifth."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    recorder = None if directory is None else Recorder(net, directory, every_n_steps=1)
    for step in range(steps):
        x = torch.randn(4, 6)
        if recorder is not None and step == 5:
            trouble()
        if recorder is not None and step % 16 == 0:  # the writer keeps up, so nothing is dropped on the way
            writer = recorder._recording._writer
            assert writer is not None
            until(lambda writer=writer: not writer._queue or writer.failure is not None)  # type: ignore[misc]
        with nullcontext() if recorder is None else recorder.step(x):
            loss = net(x).square().mean()
            losses.append(loss.item())
            if recorder is not None:
                recorder.log(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if recorder is not None:
        assert not any(module._forward_hooks for module in net.modules()) or recorder.recording
        recorder.close()
    return {"state": net.state_dict(), "losses": losses, "random": torch.get_rng_state()}


def _equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["losses"] == other["losses"]
    assert torch.equal(one["random"], other["random"])
    for name, value in one["state"].items():
        assert torch.equal(value, other["state"][name]), name


def _logger(framework: Any, save_dir: Path | None) -> Any:
    """A logger without a directory of its own, as Weights & Biases' is: at most a ``save_dir``."""

    class Remote(framework.loggers.logger.Logger):  # type: ignore[misc]
        name = version = "remote"

        @property
        def save_dir(self) -> str | None:
            return None if save_dir is None else str(save_dir)

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            pass

        def log_metrics(self, *args: Any, **kwargs: Any) -> None:
            pass

    return Remote()


def test_each_kind_of_logger_has_its_own_run_directory(framework: Any, tmp_path: Path) -> None:
    loggers, root = framework.loggers, tmp_path / "root"
    table: list[tuple[Any, Path]] = [
        (False, root / "dgm" / "version_0"),
        (_logger(framework, None), root / "dgm" / "version_1"),
        (_logger(framework, tmp_path / "wandb"), tmp_path / "wandb" / "dgm" / "version_0"),
        (_logger(framework, tmp_path / "wandb"), tmp_path / "wandb" / "dgm" / "version_1"),
        (loggers.CSVLogger(tmp_path / "csv"), tmp_path / "csv" / "lightning_logs" / "version_0"),
        ([_logger(framework, tmp_path / "wandb"), loggers.TensorBoardLogger(tmp_path / "board")],
         tmp_path / "board" / "lightning_logs" / "version_0"),
        ([loggers.CSVLogger(tmp_path / "csv"), loggers.TensorBoardLogger(tmp_path / "board")],
         tmp_path / "board" / "lightning_logs" / "version_1"),
    ]  # fmt: skip
    for logger, directory in table:
        fit(framework, lightning_module(framework, Mlp()), loader(Mlp), root, DynamicsMonitor(1), logger=logger)
        with Run(directory) as run:
            assert run.steps.tolist() == [0, 1, 2, 3]


def test_log_dir_counts_before_every_logger(pl: Any, tmp_path: Path) -> None:
    logger = pl.loggers.CSVLogger(tmp_path / "csv")
    monitor = DynamicsMonitor(1, log_dir=tmp_path / "mine")
    fit(pl, lightning_module(pl, Mlp()), loader(Mlp), tmp_path, monitor, logger=logger)
    assert not list((tmp_path / "csv").rglob("plugins"))
    with Run(tmp_path / "mine") as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
