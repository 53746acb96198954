"""Parameters that are spread over processes: FSDP1 and FSDP2 on the CPU, on one process and on two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dgm_tb.moments import COUNT, M2, MAX, MEAN, MIN
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import DynamicsMonitor
from tests.callbacks.oracles import slow_moments
from tests.conformance import harness

KINDS = ("fsdp1-orig", "fsdp1-flat", "fsdp2")
LEAVES = {"embed": 6, "rnn": 8, "blocks.0.linear": 8, "blocks.0.act": 8, "blocks.1.linear": 8, "blocks.1.act": 8}
LEAVES |= {"norm": 8, "last": 3}
#: Weight rows -> the axis of their units; the slices of a GRU's weight go through its gates.
WEIGHTS = {"embed": 1, "blocks.0.linear": 0, "blocks.1.linear": 0, "norm": 0, "last": 0}
COMPARED = [COUNT, MEAN, M2, MIN, MAX]

Found = dict[int, list[tuple[Path, list[Any]]]]


@pytest.fixture(scope="module")
def found(two_ranks: tuple[Path, list[Any]]) -> Found:
    """Number of ranks that train together -> the trainings: run directory, and what each of their ranks saved."""
    directory, saved = two_ranks
    of_rank = [rank["fsdp"] for rank in saved]
    alone = [(directory / f"alone{rank}", [_of(found, 1)]) for rank, found in enumerate(of_rank)]
    return {1: alone, 2: [(directory, [_of(found, 2) for found in of_rank])]}


def _of(found: Any, ranks: int) -> dict[str, Any]:
    return {kind: found[kind][ranks] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_training_is_bit_equal_and_communicates_no_more(found: Found, ranks: int, kind: str) -> None:
    for rank in (rank for _, saved in found[ranks] for rank in saved):
        without, recorded = rank[kind]
        assert recorded["failure"] == "None"
        assert recorded["losses"] == without["losses"]
        assert recorded["collectives"] == without["collectives"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_activations_and_gradients_are_those_of_all_ranks_under_plain_names(
    found: Found, ranks: int, kind: str
) -> None:
    directory, saved = found[ranks][-1]
    with Run(directory / kind) as run:
        assert run.problems == ()
        assert run.steps.tolist() == [0, 1, 2, 3]
        for quantity in ("activation", "gradient"):
            units = {key.node: count for key, count in run.keys.items() if key.quantity == quantity}
            assert units == LEAVES
            row = run.read(RowKey("last", "backward#0", quantity), slice(None))
            for step in range(4):
                seen = torch.cat([rank[kind][0]["seen"][f"/{quantity}"][step] for rank in saved])
                expected = slow_moments(seen, 2, False)
                np.testing.assert_allclose(row[COMPARED, step], expected[COMPARED], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("ranks", "kind", "nodes"),
    [
        (1, "fsdp1-orig", {*WEIGHTS, "rnn"}),  # not sharded: its own shape
        (1, "fsdp1-flat", set()),
        (1, "fsdp2", {*WEIGHTS, "rnn"}),
        (2, "fsdp1-orig", set()),  # runs of numbers that begin and end anywhere
        (2, "fsdp1-flat", set()),
        (2, "fsdp2", set(WEIGHTS)),
    ],
)
def test_weights_are_recorded_where_their_units_are_known(found: Found, ranks: int, kind: str, nodes: set[str]) -> None:
    directory, saved = found[ranks][-1]
    with Run(directory / kind) as run:
        for quantity in ("weight", "weight_gradient", "update"):
            assert {key.node for key in run.keys if key.quantity == quantity} == nodes
        for node in nodes & set(WEIGHTS):
            row = run.read(RowKey(node, "backward#0", "weight"), slice(0, 1))[:, 0]
            expected = slow_moments(saved[0][kind][0]["start"][f"{node}.weight"], WEIGHTS[node], False)
            np.testing.assert_allclose(row[COMPARED], expected[COMPARED], rtol=1e-4, atol=1e-6, err_msg=node)
        norms = run.context[:, CONTEXT.index("gradient_norm")]
        assert (np.isnan(norms) if ranks == 2 else norms > 0).all()


@pytest.mark.parametrize("ranks", [1, 2])
def test_what_is_left_out_is_said_once_with_the_remedy(found: Found, ranks: int) -> None:
    for rank in (rank for _, saved in found[ranks] for rank in saved):
        said = {kind: rank[kind][1]["messages"] for kind in KINDS}
        assert len(said["fsdp1-flat"]) == 1
        assert "fully_shard" in said["fsdp1-flat"][0]
        assert [len(said["fsdp1-orig"]), len(said["fsdp2"])] == [ranks - 1, ranks - 1]
        if ranks == 2:
            assert "the weights of rnn are left out" in said["fsdp2"][0]


def test_lightnings_fsdp_strategy_refuses_the_cpu_by_itself(framework: Any, tmp_path: Path) -> None:
    """The monitor is never asked: the error is Lightning's own, with and without it."""
    errors = []
    for callbacks in ([], [DynamicsMonitor(log_dir=tmp_path)]):
        with pytest.raises(Exception, match=r"GPU|CUDA|cuda|accelerator") as error:
            harness.quietly(harness.trainer, framework, tmp_path, *callbacks, strategy="fsdp")
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert not (tmp_path / "plugins").exists()
