"""Two processes that train one model on different batches: a directory each, merged by the reader."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

from dgm_tb.moments import ARGMAX_SAMPLE, COUNT, M2, MAX, MEAN, MIN, STATISTICS
from dgm_tb.records import CONTEXT, RowKey
from dgm_tb.store.run import Run
from tests.callbacks.oracles import slow_moments
from tests.conformance.launch import launched_once

WAYS = ("plain", "sometimes", "accumulated", "static")
#: Without the batch position of the extreme value: of which rank it is the reader cannot say.
COMPARED = [COUNT, MEAN, M2, MIN, MAX]


@pytest.fixture(scope="module")
def by_torch(two_ranks: tuple[Path, list[Any]]) -> tuple[Path, list[Any]]:
    directory, found = two_ranks
    return directory, [rank["ddp"] for rank in found]


@pytest.fixture(scope="module")
def by_lightning(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    directory = tmp_path_factory.mktemp("lightning")
    return directory, launched_once("lightning", directory, 2)


@pytest.mark.parametrize("way", [*WAYS, "alone"])
def test_the_training_is_bit_equal_and_communicates_no_more(by_torch: Any, way: str) -> None:
    for found in by_torch[1]:
        without, recorded = found[way]
        assert recorded["failure"] == "None"
        assert recorded["losses"] == without["losses"]
        assert recorded["collectives"] == without["collectives"] > 0
        for name, value in without["state"].items():
            assert torch.equal(value, recorded["state"][name]), name


@pytest.mark.parametrize("way", WAYS)
def test_each_rank_has_a_directory_under_one_name(by_torch: Any, way: str) -> None:
    names = sorted(path.name for path in (by_torch[0] / way / "plugins" / "dgm").iterdir())
    session = names[0].removesuffix("-rank0")
    assert names == [f"{session}-rank0", f"{session}-rank1"]


@pytest.mark.parametrize("way", WAYS)
def test_the_reader_merges_what_all_ranks_saw(by_torch: Any, way: str) -> None:
    directory, found = by_torch
    seen = [rank[way][0]["seen"] for rank in found]
    with Run(directory / way) as run:
        assert run.problems == ()
        assert run.steps.tolist() == [0, 1, 2, 3]
        assert {key.node for key in run.keys} == {"first", "act", "second", "last"}
        assert {key.program for key in run.keys} == {"backward#0"}
        micro = 2 if way == "accumulated" else 1
        for node in ("first", "act", "last"):
            for quantity in ("activation", "gradient"):
                row = run.read(RowKey(node, "backward#0", quantity), slice(None))
                for step in range(4):
                    there = slice(step * micro, (step + 1) * micro)
                    together = [value for rank in seen for value in rank[f"{node}/{quantity}"][there]]
                    _assert_row(row[:, step], torch.cat(together), 1, f"{node} {quantity} {step}")
        for node in ("first", "last"):
            row = run.read(RowKey(node, "backward#0", "weight_gradient"), slice(None))
            for step in range(4):  # averaged over the ranks, hence the same on each
                together = [rank[f"{node}.weight/grad"][step] for rank in seen]
                assert torch.equal(together[0], together[1])
                _assert_row(row[:, step], torch.cat(together, 1), 0, f"{node} weight_gradient {step}")


def test_what_one_rank_alone_uses_is_recorded_from_there(by_torch: Any) -> None:
    directory, found = by_torch
    seen = found[0]["sometimes"][0]["seen"]
    with Run(directory / "sometimes") as run:
        for quantity in ("activation", "gradient"):
            row = run.read(RowKey("second", "backward#0", quantity), slice(None))
            assert row[COUNT, :, 0].tolist() == [4, 0, 4, 0]
            _assert_row(row[:, 2], seen[f"second/{quantity}"][1], 1, quantity)


def test_a_rank_that_records_alone_waits_for_nobody(by_torch: Any) -> None:
    names = [path.name for path in (by_torch[0] / "alone" / "plugins" / "dgm").iterdir()]
    assert [name[-6:] for name in names] == ["-rank0"]
    with Run(by_torch[0] / "alone") as run:
        assert run.steps.tolist() == [0, 1, 2, 3]
        assert run.end_reason == "finished"


def test_the_gradient_norm_is_that_of_the_averaged_gradients(by_torch: Any) -> None:
    directory, found = by_torch
    seen = found[0]["plain"][0]["seen"]
    norms = [
        torch.stack([seen[name][step].norm() for name in seen if name.endswith("/grad")]).norm() for step in range(4)
    ]
    with Run(directory / "plain") as run:
        np.testing.assert_allclose(run.context[:, CONTEXT.index("gradient_norm")], norms, rtol=1e-5)


def test_lightnings_own_processes(by_lightning: Any) -> None:
    directory, found = by_lightning
    for rank in found:
        without, monitored = rank["states"]
        for name, value in without.items():
            assert torch.equal(value, monitored[name]), name
    names = sorted(path.name for path in (directory / "run" / "plugins" / "dgm").iterdir())
    assert [name[-6:] for name in names] == ["-rank0", "-rank1"]
    assert len({name[:-6] for name in names}) == 1
    with Run(directory / "run") as run:
        assert run.problems == ()
        assert run.steps.tolist() == [0, 1]
        assert {key.node for key in run.keys} == {"network.first", "network.act", "network.last"}
        # 16 samples in batches of four, dealt to two ranks.
        assert (run.read(RowKey("network.first", "backward#0", "activation"), slice(None))[COUNT] == 8).all()
        assert not np.isnan(run.context[:, CONTEXT.index("gradient_norm")]).any()


def test_only_the_first_rank_writes_the_small_plane(by_lightning: Any) -> None:
    files = list((by_lightning[0] / "run").glob("events.out.tfevents.*"))
    assert len(files) == 1
    events = EventFileLoader(str(files[0])).Load()
    written = Counter((value.tag, event.step) for event in events for value in event.summary.value)
    ours = {entry: count for entry, count in written.items() if "dgm" in entry[0]}
    assert ours
    assert set(ours.values()) == {1}


def _assert_row(row: Any, values: Tensor, axis: int, what: str) -> None:
    expected = slow_moments(values, axis, False)
    np.testing.assert_allclose(row[COMPARED], expected[COMPARED], rtol=1e-4, atol=1e-6, err_msg=what)
    assert row.shape[0] == len(STATISTICS) > ARGMAX_SAMPLE
