"""Every plain kind of training: rows, numbers, and a training that notices nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgm_tb.records import CONTEXT
from dgm_tb.store.run import Run
from tests.conformance import harness, memory
from tests.conformance.cases import PLAIN, Case


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_rows_numbers_and_an_untouched_training(
    framework: Any, case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without = harness.by_lightning(framework, case, tmp_path)
    captured = harness.by_lightning(framework, case, tmp_path, harness.monitor(case, tmp_path / "run"))
    harness.assert_same_training(without, captured)
    assert harness.left_hooked(captured) == []
    repeated, steps = harness.by_the_oracle(case)
    harness.assert_same_training(repeated, without)
    with Run(tmp_path / "run") as run:
        harness.assert_recorded(run, steps)
        assert run.graph is not None
        modules = {node.name for node in run.graph.nodes if node.kind == "module"}
        assert modules | {f"network.{path}" for path in case.traced_as_groups} == {
            key.node.partition("[")[0] for key in run.keys if key.quantity == "activation"
        }
    said = [record.getMessage() for record in caplog.records if record.name.startswith("lightning_callbacks")]
    assert len(said) == bool(case.hidden)
    for path in case.hidden:
        assert f"network.{path}: the output is a view that is changed in place" in said[0]


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_a_bare_loop_has_the_same_record_bit_for_bit(pl: Any, case: Case, tmp_path: Path) -> None:
    by_lightning = harness.by_lightning(pl, case, tmp_path, harness.monitor(case, tmp_path / "lightning"))
    by_hand = harness.by_hand(case, tmp_path / "bare")
    harness.assert_same_training(by_lightning, by_hand)
    assert harness.left_hooked(by_hand) == []
    with Run(tmp_path / "lightning") as one, Run(tmp_path / "bare") as other:
        assert one.steps.tolist() == other.steps.tolist()
        assert one.keys == other.keys
        for key in one.keys:
            np.testing.assert_array_equal(one.read(key, slice(None)), other.read(key, slice(None)), key.tag)
        np.testing.assert_array_equal(
            one.aggregates(list(one.keys), slice(None)), other.aggregates(list(one.keys), slice(None))
        )
        norm = CONTEXT.index("gradient_norm")
        np.testing.assert_array_equal(one.context[:, norm], other.context[:, norm])
        assert one.graph is not None
        assert other.graph is not None
        assert (one.graph.nodes, one.graph.edges, one.graph.programs) == (
            other.graph.nodes,
            other.graph.edges,
            other.graph.programs,
        )
        if len(case.trained(by_hand.root.get_submodule("network"))) == 1:
            np.testing.assert_array_equal(one.losses.values[0], other.losses.values[0])


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_memory_does_not_grow_with_the_snapshots(case: Case, tmp_path: Path) -> None:
    watch = memory.Watch(warm_up=66, window=20, windows=3)
    batches = harness.Batches(case, copies=case.accumulate * watch.steps // 4 + 1)
    harness.by_hand(case, tmp_path, batches=batches, after=watch)
    assert watch.tensors() <= 0
    assert watch.bytes_per_snapshot() * 100 < 2**20
