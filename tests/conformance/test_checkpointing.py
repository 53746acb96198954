"""Activation checkpointing: a recomputation is no call, its gradients are those of the call that it repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from dgm_tb.store.run import Run
from tests.conformance import cases, harness
from tests.conformance.cases import Case

Again = Callable[..., Any]


def _not(function: Any, *args: Any) -> Any:
    return function(*args)


def _reentrant(function: Any, *args: Any) -> Any:
    return checkpoint(function, *args, use_reentrant=True)


def _plain(function: Any, *args: Any) -> Any:
    return checkpoint(function, *args, use_reentrant=False)


class Blocks(nn.Module):
    """Blocks with dropout and an in-place activation; the last is checkpointed within a checkpointed part.

    ``loop`` is called three times in one part, and ``shared`` once in each of two parts.
    """

    def __init__(self, again: Again) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Dropout(0.2))
        self.loop = nn.Linear(8, 8)
        self.shared = nn.Linear(8, 8)
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.again = again

    def _loop(self, h: Tensor) -> Tensor:
        for _ in range(3):
            h = torch.tanh(self.loop(h))
        return h

    def loss(self, batch: Any) -> Tensor:
        again = self.again
        h = again(self.block, self.stem(batch[0]))
        h = again(self._loop, h)
        h = again(self.shared, h)
        h = again(lambda x: torch.tanh(self.shared(x)), h)
        h = again(lambda x: again(self.inner, x), h)
        return F.cross_entropy(self.head(h), batch[1])


def _case(again: Again) -> Case:
    sizes = {"stem": 8, "block.0": 8, "block.1": 8, "block.2": 8, "loop": 8, "shared": 8, "inner": 8, "head": 3}
    weighted = ("stem", "block.0", "loop", "shared", "inner", "head")
    return Case(
        again.__name__,
        lambda: Blocks(again),
        {path: (-1, units) for path, units in sizes.items()},
        {path: [(f"{path}.weight", cases.first)] for path in weighted},
        cases.MLP.data,
    )


@pytest.mark.parametrize("again", [_not, _reentrant, _plain])
def test_rows_are_those_without_checkpointing(pl: Any, again: Again, tmp_path: Path) -> None:
    case = _case(again)
    without = harness.by_lightning(pl, case, tmp_path)
    captured = harness.by_lightning(pl, case, tmp_path, harness.monitor(case, tmp_path / "run"))
    harness.assert_same_training(without, captured)
    assert harness.left_hooked(captured) == []
    plain, steps = harness.by_the_oracle(_case(_not))
    harness.assert_same_training(plain, without)  # checkpointing restores the random numbers of its dropout
    with Run(tmp_path / "run") as run:
        harness.assert_recorded(run, steps)
        assert run.graph is not None
        assert {node.name: node.calls for node in run.graph.nodes if node.kind == "module"}["network.block.0"] == 1


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_sequence_in_parts(reentrant: bool, tmp_path: Path) -> None:
    class Sequence(nn.Module):
        def __init__(self, parts: int) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
            self.parts = parts

        def loss(self, batch: Any) -> Tensor:
            x = batch[0].requires_grad_()
            if self.parts:
                out: Tensor = checkpoint_sequential(self.net, self.parts, x, use_reentrant=reentrant)
            else:
                out = self.net(x)
            return F.cross_entropy(out, batch[1])

    case = Case(
        "sequence",
        lambda: Sequence(2),
        {f"net.{k}": (-1, units) for k, units in enumerate((8, 8, 8, 8, 3))},
        {f"net.{k}": [(f"net.{k}.weight", cases.first)] for k in (0, 2, 4)},
        cases.MLP.data,
    )
    harness.by_hand(case, tmp_path)
    _, steps = harness.by_the_oracle(replace(case, network=lambda: Sequence(0)))
    with Run(tmp_path) as run:
        harness.assert_recorded(run, steps)


@pytest.mark.parametrize("kind", [CheckpointImpl.REENTRANT, CheckpointImpl.NO_REENTRANT])
def test_wrapped_modules_keep_their_names(kind: Any, tmp_path: Path) -> None:
    def wrapped() -> Any:
        network: Any = case.network()
        network.act = checkpoint_wrapper(network.act, checkpoint_impl=kind)
        network.last = checkpoint_wrapper(network.last, checkpoint_impl=kind)
        return network

    case = cases.MLP
    harness.by_hand(replace(case, network=wrapped), tmp_path)
    _, steps = harness.by_the_oracle(case)
    with Run(tmp_path) as run:
        harness.assert_recorded(run, steps)
