"""The sampling benchmark, small: that it still runs, and that its measures measure."""

from __future__ import annotations

import numpy as np

from benchmarks import sampling


def test_it_runs_and_ours_is_no_worse_than_exact_greedy() -> None:
    text = sampling.run(n=1500, m=60, points=64, repeats=1, sizes=(300,))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    kept = {row[0]: float(row[2]) for row in rows if len(row) == len(sampling.COLUMNS) and row[2][0].isdigit()}
    assert len(kept) == len(sampling.METHODS)
    assert kept["random"] < 0.3
    assert kept["**progressive blue noise**"] >= kept["exact greedy k-center"] - 0.1 > 0.5


def test_equal_densities_have_no_distance_and_shifted_ones_their_shift() -> None:
    image = np.zeros((20, 3), np.float32)
    image[4] = 2.0
    assert sampling._emd(image, 3 * image) == 0
    assert sampling._emd(image, np.roll(image, 5, axis=0)) == 5
