from __future__ import annotations

import json
from typing import Any

import numpy as np

from dgm_tb.moments import DERIVED
from dgm_tb.records import CONTEXT, Layout, Manifest, Row, RowKey, Snapshot
from lightning_callbacks.summaries import INTERVAL, Summaries


class _Experiment:
    def __init__(self) -> None:
        self.events: list[tuple[Any, int, float]] = []

    def _get_file_writer(self) -> _Experiment:
        return self

    def add_event(self, event: Any, step: int, walltime: float) -> None:
        self.events.append((event, step, walltime))


LAYOUT = Layout(
    (
        Row(RowKey("a", "backward#0", "activation"), 2),
        Row(RowKey("a", "backward#1", "activation"), 2),
        Row(RowKey("b", "backward#0", "weight"), 3),
    )
)


def _snapshot(step: int) -> Snapshot:
    aggregates = np.arange(3 * 6 * 4, dtype=np.float32).reshape(3, 6, 4)
    return Snapshot(step, np.full(len(CONTEXT), 50.0 + step), np.zeros(int(LAYOUT.starts[-1]), np.float32), aggregates)


def _summaries() -> tuple[Summaries, _Experiment, list[float]]:
    experiment, now = _Experiment(), [0.0]
    summaries = Summaries(experiment, lambda: now[0])
    summaries(Manifest(LAYOUT, (), 0.0))
    return summaries, experiment, now


def test_one_event_with_a_value_a_quantity() -> None:
    summaries, experiment, _ = _summaries()
    summaries(_snapshot(4))
    ((event, step, walltime),) = experiment.events
    assert (step, walltime) == (4, 54.0)
    values = {value.tag: value for value in event.summary.value}
    assert set(values) == {"dgm/activation", "dgm/weight"}
    activation = values["dgm/activation"]
    assert activation.metadata.plugin_data.plugin_name == "dgm"
    assert activation.metadata.data_class == 2  # DATA_CLASS_TENSOR
    table = np.frombuffer(activation.tensor.tensor_content, np.float32).reshape(2, len(DERIVED))
    np.testing.assert_array_equal(table[0], _snapshot(4).aggregates[0, :, 0])  # of two programs the first
    assert np.isnan(table[1]).all()
    assert json.loads(activation.metadata.plugin_data.content) == {
        "v": 2,
        "bulk": "plugins/dgm",
        "nodes": ["a", "b"],
        "statistics": list(DERIVED),
    }


def test_at_most_one_event_every_two_seconds_and_the_manifest_once() -> None:
    summaries, experiment, now = _summaries()
    for step, seconds in enumerate((0.0, INTERVAL / 2, INTERVAL, INTERVAL + 0.1)):
        now[0] = seconds
        summaries(_snapshot(step))
    assert [step for _, step, _ in experiment.events] == [0, 2]
    assert experiment.events[1][0].summary.value[0].metadata.plugin_data.content == b""


def test_new_rows_are_announced_at_once() -> None:
    summaries, experiment, _ = _summaries()
    summaries(_snapshot(0))
    summaries(Manifest(LAYOUT, (), 0.0))
    summaries(_snapshot(1))
    assert len(experiment.events) == 2
    assert experiment.events[1][0].summary.value[0].metadata.plugin_data.content
