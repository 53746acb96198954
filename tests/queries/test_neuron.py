from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.moments import DERIVED
from dgm_tb.queries import neuron
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from tests.queries.fakes import FakeRun, called, not_called
from tests.queries.recorded import Recorded
from tests.synthetic import JUMPERS, SPIKE_NODE


@pytest.mark.parametrize("quantity", ["activation", "weight"])
def test_every_statistic_of_each_unit_over_the_whole_run(run: Run, recorded: Recorded, quantity: str) -> None:
    view = neuron.answer(run, neuron.Request(".", SPIKE_NODE, (11, 3), quantity=quantity))
    assert view.statistics == (*DERIVED, "argmax_sample")
    assert view.units == (11, 3)
    assert view.program == "backward#0"
    np.testing.assert_array_equal(view.step, recorded.steps)
    key = RowKey(SPIKE_NODE, "backward#0", quantity)
    for index, statistic in enumerate(view.statistics):
        np.testing.assert_array_equal(view.values[:, index], recorded.series(key, statistic)[[11, 3]])


@pytest.mark.parametrize("since", [-1, 0, 5, 10, 590, 10_000])
def test_since_sends_only_later_snapshots(run: Run, since: int) -> None:
    everything = neuron.answer(run, neuron.Request(".", SPIKE_NODE, JUMPERS))
    view = neuron.answer(run, neuron.Request(".", SPIKE_NODE, JUMPERS, since=since))
    later = everything.step > since
    np.testing.assert_array_equal(view.step, everything.step[later])
    np.testing.assert_array_equal(view.values, everything.values[:, :, later])


def test_a_unit_beyond_the_last_is_refused_by_name(run: Run) -> None:
    with pytest.raises(UnknownNameError, match=f"units: node '{SPIKE_NODE}' has no unit 32; its 32 units are 0 to 31"):
        neuron.answer(run, neuron.Request(".", SPIKE_NODE, (0, 32)))


def test_a_long_run_comes_rolled_up_whatever_since_says() -> None:
    key = RowKey("a", "backward#0", "activation")
    means = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    run = FakeRun({key: called(means)}, 10 * np.arange(3000)).as_run()
    view = neuron.answer(run, neuron.Request(".", "a", (1,), since=29_000))
    assert (view.level, view.each) == (1, 16)
    full = 3000 // 16
    assert view.step.tolist()[:4] == [0, 150, 160, 310]
    assert len(view.step) == 2 * (full + 3000 % 16)
    parts = means[: 16 * full, 1].reshape(full, 16)
    mean = view.values[0, view.statistics.index("mean")]
    np.testing.assert_array_equal(mean[: 2 * full : 2], parts.min(axis=1))
    np.testing.assert_array_equal(mean[1 : 2 * full : 2], parts.max(axis=1))
    np.testing.assert_array_equal(mean[2 * full :], np.repeat(means[16 * full :, 1], 2))
    assert np.isnan(view.values[0, -1]).all()  # a sample's place has no least and greatest


def test_a_range_of_a_long_run_is_its_snapshots() -> None:
    key = RowKey("a", "backward#0", "activation")
    run = FakeRun({key: called(np.arange(6000.0).reshape(3000, 2))}, 10 * np.arange(3000)).as_run()
    view = neuron.answer(run, neuron.Request(".", "a", (0,), first=15, last=100))
    assert (view.level, view.each) == (0, 1)
    assert view.step.tolist() == [*range(20, 101, 10)]
    assert view.values[0, view.statistics.index("mean")].tolist() == [*range(4, 21, 2)]
    later = neuron.answer(run, neuron.Request(".", "a", (0,), first=15, last=100, since=50))
    assert later.step.tolist() == [*range(60, 101, 10)]


def test_snapshots_without_a_call_are_nan_in_every_statistic() -> None:
    key = RowKey("a", "backward#0", "activation")
    rows = np.concatenate([called(np.ones((2, 3))), not_called(1, 3)], axis=1)
    view = neuron.answer(FakeRun({key: rows}, np.arange(3)).as_run(), neuron.Request(".", "a", (2,)))
    np.testing.assert_array_equal(np.isnan(view.values[0]), np.tile([False, False, True], (7, 1)))
