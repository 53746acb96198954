"""How a case is trained, by Lightning, in a bare loop and by the oracle, and how what came out is compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer
from torch.utils._python_dispatch import _get_current_dispatch_mode

from dgm_tb.moments import ARGMAX_SAMPLE, COUNT, M2, MAX, MEAN, MIN, NONFINITE, ZEROS
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor, Recorder
from tests.conformance import oracle
from tests.conformance.cases import Case

SEED = 7


@dataclass(frozen=True)
class Trained:
    """All that a training leaves behind."""

    root: nn.Module
    optimizers: list[Optimizer]
    losses: list[list[float]]  # a batch's programs'
    random: Tensor

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Weights and buffers."""
        return self.root.state_dict()


class Batches:
    """A fixed list of batches that draws no random number, as a data loader."""

    def __init__(self, case: Case, batch_size: int = 4, copies: int = 1) -> None:
        torch.manual_seed(SEED)
        columns = case.data()
        self.all = [
            [column[start : start + batch_size] for column in columns]
            for start in range(0, len(columns[0]), batch_size)
        ] * copies

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)


def build(case: Case) -> nn.Module:
    torch.manual_seed(SEED + 1)
    return case.network()


def adam(parameters: Any) -> Optimizer:
    return torch.optim.Adam(parameters, 1e-2)


def optimizers_of(case: Case, network: nn.Module) -> list[Optimizer]:
    return [adam(parameters) for parameters in case.trained(network)]


def lightning_module(framework: Any, case: Case, network: nn.Module, losses: list[list[float]]) -> Any:
    """``network`` as a LightningModule; cases with several optimizers by manual optimization."""

    class Training(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.automatic_optimization = len(case.trained(network)) == 1

        def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
            programs = case.losses(self.network, batch)
            losses.append([])
            if self.automatic_optimization:
                loss = programs[0]()
                losses[-1].append(loss.item())
                self.log("logged", loss, on_step=True)
                return loss
            for loss_of, optimizer in zip(programs, self.optimizers(), strict=True):
                loss = loss_of()
                losses[-1].append(loss.item())
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return None

        def configure_optimizers(self) -> Any:
            found = optimizers_of(case, self.network)
            return found if len(found) > 1 else found[0]

    return Training()


def trainer(framework: Any, directory: Path, *callbacks: Any, **options: Any) -> Any:
    """A quiet trainer on the CPU, without a logger unless ``options`` name one."""
    settings = {"max_epochs": 1, "logger": False, "enable_checkpointing": False} | options
    return framework.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=directory,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **settings,
    )


def quietly(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls without Lightning's advice about workers and intervals, which the suite would take for errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)


def by_lightning(
    framework: Any, case: Case, directory: Path, *callbacks: Any, batches: Batches | None = None, **options: Any
) -> Trained:
    losses: list[list[float]] = []
    batches = batches or Batches(case)
    module = lightning_module(framework, case, build(case), losses)
    settings = {"accumulate_grad_batches": case.accumulate, "gradient_clip_val": case.clip} | options
    training = quietly(trainer, framework, directory, *callbacks, **settings)
    torch.manual_seed(SEED + 2)
    quietly(training.fit, module, batches)
    return Trained(module, list(training.optimizers), losses, torch.get_rng_state())


def by_hand(
    case: Case,
    directory: Path | None = None,
    *,
    batches: Batches | None = None,
    after: Callable[[], None] = lambda: None,
    **options: Any,
) -> Trained:
    """A bare PyTorch loop, recorded by a `Recorder` into ``directory``; ``after`` is called after every step."""
    batches = batches or Batches(case)
    root = nn.ModuleDict({"network": build(case)})
    network: nn.Module = root["network"]
    optimizers = optimizers_of(case, network)
    losses: list[list[float]] = []
    settings = {"every_n_steps": 1, **case.options} | options
    torch.manual_seed(SEED + 2)
    with nullcontext() if directory is None else Recorder(root, directory, **settings) as recorder:
        for index, batch in enumerate(batches):
            stepped = (index + 1) % case.accumulate == 0
            losses.append([])
            with nullcontext() if recorder is None else recorder.step(batch, stepped=stepped):
                for loss_of, optimizer in zip(case.losses(network, batch), optimizers, strict=True):
                    loss = loss_of()
                    losses[-1].append(loss.item())
                    if recorder is not None:
                        recorder.log(loss=loss)
                    if index % case.accumulate == 0:
                        optimizer.zero_grad()
                    (loss / case.accumulate).backward()
                    if not stepped:
                        continue
                    if case.clip is not None:
                        if recorder is not None:
                            recorder.before_clipping(optimizer)
                        torch.nn.utils.clip_grad_norm_(network.parameters(), case.clip)
                    optimizer.step()
            if stepped:
                after()
    assert recorder is None or recorder.failure is None
    return Trained(root, optimizers, losses, torch.get_rng_state())


def by_the_oracle(case: Case, batches: Batches | None = None) -> tuple[Trained, list[oracle.Step]]:
    """The same training once more, and what each step's rows should be."""
    batches = batches or Batches(case)
    root = nn.ModuleDict({"network": build(case)})
    optimizers = optimizers_of(case, root["network"])
    torch.manual_seed(SEED + 2)
    steps = list(oracle.repeat(case, root, batches.all, optimizers))
    return Trained(root, optimizers, [], torch.get_rng_state()), steps


def assert_same_training(one: Trained, other: Trained) -> None:
    """Bit for bit: weights, buffers, the optimizers' states, losses, and what random numbers would come next."""
    assert one.state.keys() == other.state.keys()
    for name, value in one.state.items():
        assert torch.equal(value, other.state[name]), name
    for mine, its in zip(one.optimizers, other.optimizers, strict=True):
        pairs = zip(mine.state_dict()["state"].items(), its.state_dict()["state"].items(), strict=True)
        for (index, state), (_, twin) in pairs:
            assert all(torch.equal(torch.as_tensor(state[k]), torch.as_tensor(twin[k])) for k in state), index
    if one.losses and other.losses:
        assert one.losses == other.losses
    assert torch.equal(one.random, other.random)


def assert_recorded(run: Run, steps: list[oracle.Step]) -> None:
    """The run holds these steps, exactly these rows, and in them these numbers."""
    assert run.problems == ()
    assert run.steps.tolist() == list(range(len(steps)))
    everything = {key for step in steps for key in step.rows}
    assert set(run.keys) == everything, sorted(set(run.keys) ^ everything)
    for key in sorted(everything):
        found = run.read(key, slice(None))
        for index, step in enumerate(steps):
            assert_row(found[:, index], step.rows.get(key), f"{key.tag} at step {index}")


def assert_row(found: Any, expected: Any, what: str) -> None:
    """One row ``(STATISTICS, units)``; ``expected`` None: it must be absent, with count 0."""
    if expected is None:
        assert not found[COUNT].any(), what
        return
    assert found.shape == expected.shape, what
    for channel in (COUNT, ZEROS, NONFINITE, ARGMAX_SAMPLE):
        np.testing.assert_array_equal(found[channel], expected[channel], what)
    scale = np.nan_to_num(np.maximum(np.abs(expected[MIN]), np.abs(expected[MAX])))
    for channel, power in ((MEAN, 1), (MIN, 1), (MAX, 1), (M2, 2)):
        # Sums in float32 round by the size of the values, not by that of their mean.
        slack = 1e-5 * scale**power * (expected[COUNT] if power == 2 else 1) + 1e-12
        near = np.abs(found[channel] - expected[channel]) <= 1e-4 * np.abs(expected[channel]) + slack
        neither = np.isnan(found[channel]) & np.isnan(expected[channel])  # of no finite value
        assert (near | neither).all(), (what, channel, found[channel], expected[channel])


def left_hooked(trained: Trained) -> list[str]:
    """What still hangs on a network, its parameters, its optimizers or PyTorch itself."""
    found = []
    for path, module in trained.root.named_modules():
        found += [f"{path}.{name}" for name, value in vars(module).items() if name.endswith("_hooks") and value]
    for name, parameter in trained.root.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            found.append(name)
    for optimizer in trained.optimizers:
        found += [name for name, value in vars(optimizer).items() if name.endswith("_hooks") and value]
    for place in (torch_modules, torch_optimizer):
        found += [
            name for name, value in vars(place).items() if name.startswith("_global") and "hooks" in name and value
        ]
    return found + (["a dispatch mode"] if _get_current_dispatch_mode() is not None else [])


def monitor(case: Case, directory: Path, **options: Any) -> DynamicsMonitor:
    return DynamicsMonitor(**{"every_n_steps": 1, "log_dir": directory, **case.options, **options})


def rows_of(run: Run, quantity: str) -> set[tuple[str, str]]:
    """(node, program) of a quantity's rows."""
    return {(key.node, key.program) for key in run.keys if key.quantity == quantity}
