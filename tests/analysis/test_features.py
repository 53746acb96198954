"""The features two lines are compared by."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.analysis.features import first_nonfinite, line_features
from dgm_tb.analysis.scales import Scale, to_pixels
from tests import oracles

CHART = Scale("linear", 0.0, 255.0)  # a value is its pixel
LINES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 40)),
    elements=st.one_of(st.floats(0, 255, width=16), st.sampled_from([np.nan, np.inf, -np.inf])),
)


def features(values: NDArray[np.float32], segments: int = 16) -> NDArray[np.uint8]:
    return line_features(values, np.arange(len(values)), first_nonfinite(values), CHART, segments=segments)


@settings(deadline=None)  # compiles
@given(LINES, st.integers(1, 20))
def test_features_are_those_of_the_slow_twin(values: NDArray[np.float32], segments: int) -> None:
    found = features(values, segments)
    pixels = np.where(np.isfinite(values), to_pixels(CHART, values, 256), np.nan)
    for line, row in zip(pixels, found[:, :-1], strict=True):
        slow = oracles.line_features(line.tolist(), min(segments, len(line)))
        assert np.abs(row.astype(int) - slow).max() <= 1  # a mean at x.5 may round either way
        assert row[0::3].tolist() == slow[0::3]
        assert row[1::3].tolist() == slow[1::3]


@settings(deadline=None)
@given(LINES.map(lambda lines: np.nan_to_num(lines, nan=3.0, posinf=200.0, neginf=0.0)))
def test_the_distance_is_a_lower_bound_of_the_largest_vertical_one(values: NDArray[np.float32]) -> None:
    found = features(values).astype(int)
    for i in range(len(values)):
        assert np.abs(found[i] - found[0]).max() <= np.abs(values[i] - values[0]).max() + 1


def test_a_spike_of_one_snapshot_keeps_its_height() -> None:
    lines = np.full((2, 1000), 10.0, np.float32)
    lines[1, 500] = 210.0
    found = features(lines).astype(int)
    assert np.abs(found[0] - found[1]).max() == 200


def test_the_first_bad_snapshot_tells_lines_apart() -> None:
    lines = np.full((3, 100), 10.0, np.float32)
    lines[1, 20:], lines[2, 90:] = np.nan, np.inf
    assert first_nonfinite(lines).tolist() == [-1, 20, 90]
    assert features(lines)[:, -1].tolist() == [0, 1 + 20 * 255 // 100, 1 + 90 * 255 // 100]
    assert (features(lines)[:, :-1] == 10).all()


def test_only_the_chosen_lines_are_described_in_their_order() -> None:
    values = np.arange(200_000, dtype=np.float32).reshape(-1, 2) % 251  # more than one block
    lines = np.array([99_999, 0, 70_000], np.int64)
    part = line_features(values, lines, first_nonfinite(values), CHART)
    assert part.tolist() == features(values)[lines].tolist()
