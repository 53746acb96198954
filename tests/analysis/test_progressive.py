"""Dart throwing from coarse to fine: its guarantees, and against its slow twins."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.analysis.progressive import BATCH, Crowd, progressive
from tests import oracles

BYTES = st.one_of(st.integers(0, 255), st.integers(0, 12), st.sampled_from([0, 128, 255]))


def crowds(most: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    shapes = st.tuples(st.integers(1, most), st.integers(1, 4))
    return hnp.arrays(np.uint8, shapes, elements=BYTES).map(distinct)


def distinct(features: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return features[np.sort(np.unique(features, axis=0, return_index=True)[1])]


@settings(deadline=None)  # compiles
@given(crowds(60), st.integers(1, 60))
def test_the_order_is_that_of_plain_dart_throwing(features: NDArray[np.uint8], m: int) -> None:
    assert progressive(features, m).chosen.tolist() == oracles.progressive(features, m)


@settings(deadline=None)
@given(crowds(60), st.integers(1, 60))
def test_owners_are_nearest_and_their_distance_is_exact(features: NDArray[np.uint8], m: int) -> None:
    found = progressive(features, m)
    for line, (owner, far) in enumerate(zip(found.owner, found.distance, strict=True)):
        all_far = [oracles.distance(features[line], features[c]) for c in found.chosen]
        assert far == all_far[owner] == min(all_far)


@settings(deadline=None)
@given(crowds(60), st.integers(1, 60))
def test_a_completed_level_is_a_poisson_disk_sample(features: NDArray[np.uint8], m: int) -> None:
    found = progressive(features, m)
    for radius, count in found.levels:
        chosen = found.chosen[:count]
        for at, line in enumerate(chosen):
            assert all(oracles.distance(features[line], features[other]) >= radius for other in chosen[:at])
        assert oracles.cover_radius(features, chosen) < radius
        for line in range(len(features)):  # hence the isolated ones are all there
            others = [oracles.distance(features[line], other) for at, other in enumerate(features) if at != line]
            assert min(others, default=256) < radius or line in chosen


@settings(deadline=None, max_examples=50)
@given(crowds(11), st.integers(2, 6))
def test_the_cover_radius_is_near_the_best_possible(features: NDArray[np.uint8], m: int) -> None:
    found = progressive(features, m)
    for _, count in found.levels:
        if 1 < count <= 6:
            best = oracles.best_cover_radius(features, count - 1)
            assert oracles.cover_radius(features, found.chosen[:count]) < 2 * best or best == 0
    if len(found.chosen) > 1 and found.levels:
        best = oracles.best_cover_radius(features, len(found.chosen) - 1)
        assert found.distance.max() < 2 * 2**0.5 * best or best == 0


@settings(deadline=None)
@given(crowds(60), st.integers(1, 60), st.integers(1, 60))
def test_a_prefix_is_the_smaller_sample(features: NDArray[np.uint8], a: int, b: int) -> None:
    few, many = sorted((a, b))
    assert progressive(features, few).chosen.tolist() == progressive(features, many).chosen[:few].tolist()


def test_more_lines_than_a_batch_and_than_a_level_holds() -> None:
    features = distinct(np.random.default_rng(0).integers(0, 256, (3000, 3), np.uint8))
    m = 5 * BATCH + 7
    found = progressive(features, m)
    assert found.chosen.tolist() == oracles.progressive(features, m)
    nearest = np.min([oracles.distances(features, line) for line in found.chosen], axis=0)
    assert found.distance.tolist() == nearest.tolist()


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 40), st.integers(1, 3)), elements=st.integers(0, 3)))
def test_duplicates_keep_their_first_and_their_number(features: NDArray[np.uint8]) -> None:
    lines = np.arange(len(features), dtype=np.int64)[::-1].copy()
    crowd = Crowd.of(features.copy(), lines)
    rows = [tuple(row) for row in features.tolist()]
    first = list(dict.fromkeys(rows))
    assert [tuple(row) for row in crowd.features.tolist()] == first
    assert crowd.counts.tolist() == [rows.count(row) for row in first]
    assert crowd.lines.tolist() == [lines[rows.index(row)] for row in first]
