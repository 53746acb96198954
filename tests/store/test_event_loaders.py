"""Every kind of file of a session, read by TensorBoard's own event loaders and by ours: they say the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from dgm_tb.commands import census
from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS
from dgm_tb.records import ROLLED, ROLLS, Thinned
from dgm_tb.store import codec, framing
from dgm_tb.store.run import Run
from tests.store import made, oracles

STEPS = range(0, 11_000, 10)  # 17 full parts, a full part of level 1, and a rest of each
KEYS = (made.A, made.B)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("run")
    snapshots = [made.plausible(step) for step in STEPS]
    session = made.write(
        directory, [made.manifest(), made.GRAPH, *snapshots, made.table(range(3)), made.table(range(3, 9))]
    )
    (session / "thinned").write_bytes(framing.frame(codec.encode(Thinned(0, -5, -1, 2, "room"), made.BEGAN)))
    return Run(directory)


def files(run: Run, kind: str) -> list[Path]:
    (session,) = census.sessions(run.directory)
    found = [file.path for file in session.files if file.kind == kind]
    assert found, f"the session has no {kind}"
    return found


def loaded(run: Run, kind: str, scratch: Path) -> list[Event]:
    return [event for path in files(run, kind) for event in oracles.events(path, scratch)]


def header(event: Event) -> dict[str, object]:
    found: dict[str, object] = json.loads(event.summary.value[0].metadata.plugin_data.content)
    return found


def test_there_is_no_other_kind_of_file(run: Run) -> None:
    (session,) = census.sessions(run.directory)
    assert {file.kind for file in session.files} == {
        "segment", "journal", "block", "rollup", "rollblock", "steps", "end", "thinned",
    }  # fmt: skip


def test_every_value_says_whose_it_is(run: Run, tmp_path: Path) -> None:
    (session,) = census.sessions(run.directory)
    for file in session.files:
        events = oracles.events(file.path, tmp_path)
        assert events
        for event in events:
            assert {value.metadata.plugin_data.plugin_name for value in event.summary.value} == {"dgm"}


def test_segment(run: Run, tmp_path: Path) -> None:
    manifest, graph = loaded(run, "segment", tmp_path)
    layout = [[row.key.node, row.key.program, row.key.quantity, row.units] for row in made.LAYOUT.rows]
    assert header(manifest)["layout"] == layout
    assert run.keys == {row.key: row.units for row in made.LAYOUT.rows}
    assert [node["name"] for node in header(graph)["nodes"]] == [node.name for node in run.nodes]  # type: ignore[attr-defined]


def test_steps_end_and_thinned(run: Run, tmp_path: Path) -> None:
    tables = [oracles.rows(event)["dgm/steps"] for event in loaded(run, "steps", tmp_path)]
    table = np.concatenate(tables)
    np.testing.assert_array_equal(table[:, 0], run.losses.steps)
    np.testing.assert_array_equal(table[:, 2], run.losses.values[0])
    (end,) = loaded(run, "end", tmp_path)
    assert header(end)["reason"] == run.end_reason
    (thinned,) = loaded(run, "thinned", tmp_path)
    (known,) = run.thinned
    assert (header(thinned)["first_step"], header(thinned)["last_step"]) == (known.first_step, known.last_step)


def test_journal(run: Run, tmp_path: Path) -> None:
    events = loaded(run, "journal", tmp_path)
    positions = np.searchsorted(run.steps, [event.step for event in events])
    np.testing.assert_array_equal(run.steps[positions], [event.step for event in events])
    for key in KEYS:
        told = run.read(key, positions)
        for place, event in enumerate(events):
            np.testing.assert_array_equal(oracles.row(event, key), told[:, place])
    aggregates = run.aggregates(KEYS, positions)
    for place, event in enumerate(events):
        np.testing.assert_array_equal(oracles.rows(event)["dgm/aggregates"], aggregates[:, place])
        np.testing.assert_array_equal(oracles.rows(event)["dgm/snapshot"], run.context[positions[place]])


def channels(path: Path, scratch: Path) -> dict[str, NDArray[np.float64]]:
    return {tag: table for event in oracles.events(path, scratch) for tag, table in oracles.rows(event).items()}


def test_block(run: Run, tmp_path: Path) -> None:
    for number, path in enumerate(files(run, "block")):
        found, positions = channels(path, tmp_path), slice(64 * number, 64 * number + 64)
        for key in KEYS:
            told = run.read(key, positions)
            for channel, statistic in enumerate(STATISTICS):
                np.testing.assert_array_equal(found[f"{key.tag}/{statistic}"].T, told[channel])
            of_row = found[f"{key.tag}/aggregates"].T.reshape(64, len(DERIVED), len(REDUCTIONS))
            np.testing.assert_array_equal(of_row, run.aggregates([key], positions)[0])


def rolled(run: Run, first: int, count: int) -> dict[str, NDArray[np.float32]]:
    """By tag what our reader says of points of level 1: ``(units, points)``."""
    points = run.points(STEPS[16 * first], STEPS[16 * (first + count) - 1], 2 * count)
    assert set(points.levels.tolist()) == {1}
    assert len(points.first) == count
    out = {}
    for key in KEYS:
        for statistic in DERIVED:
            for roll, told in zip(("mean", "min", "max"), run.rolled(key, points, statistic), strict=True):
                out[f"{key.tag}/{statistic}/{roll}"] = told.T
    return out


def test_rollup(run: Run, tmp_path: Path) -> None:
    path = next(path for path in files(run, "rollup") if path.name.startswith("rollup-1-"))
    events = oracles.events(path, tmp_path)
    assert [event.step for event in events] == [STEPS[16 * (64 + point) + 15] for point in range(len(events))]
    told = rolled(run, 64, len(events))
    for key in KEYS:
        found = np.stack([oracles.row(event, key) for event in events], axis=-1)  # (channels, units, points)
        for channel, name in enumerate(ROLLED):
            if not name.endswith("/seen"):
                np.testing.assert_array_equal(found[channel], told[f"{key.tag}/{name}"])


def test_rolled_block(run: Run, tmp_path: Path) -> None:
    (path,) = files(run, "rollblock")
    found, told = channels(path, tmp_path), rolled(run, 0, 64)
    for tag, table in told.items():
        np.testing.assert_array_equal(found[tag], table)
    for key in KEYS:
        of_row = found[f"{key.tag}/aggregates"].T.reshape(64, len(DERIVED), len(REDUCTIONS), len(ROLLS))
        points = run.points(STEPS[0], STEPS[16 * 64 - 1], 128)
        ours = run.rolled_aggregates([key], points)[0]
        for place, roll in enumerate(("mean", "min", "max")):
            np.testing.assert_array_equal(of_row[..., ROLLS.index(roll)], ours[..., place])


def test_tensorboard_s_accumulator_keeps_journals_and_blocks_by_tag(run: Run, tmp_path: Path) -> None:
    (journal,) = files(run, "journal")
    shutil.copyfile(journal, tmp_path / "events.out.tfevents.0.host")
    accumulator = EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0})
    accumulator.Reload()
    kept = accumulator.Tensors(made.A.tag)
    assert [event.step for event in kept] == run.steps[-len(kept) :].tolist()
    told = run.read(made.A, slice(len(STEPS) - len(kept), None))
    for place, event in enumerate(kept):
        np.testing.assert_array_equal(make_ndarray(event.tensor_proto), told[:, place])
