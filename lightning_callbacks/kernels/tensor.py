"""A whole tensor: as columns or as runs, whichever is quicker for its shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lightning_callbacks.kernels.columns import reduce_columns
from lightning_callbacks.kernels.runs import reduce_runs


def in_columns(outer: int, inner: int) -> bool:
    """Whether columns are quicker than runs.

    Measured, in ns a value: columns 0.2 and 5 / outer, since each has to be finished; runs 0.12 and 20 / inner, since
    the lanes of each have to be folded. So from 4 neighbours on for weights, and from 100 for a batch of 64 maps.
    """
    return inner * (outer + 50) < 180 * outer


def reduce(cube: NDArray[np.floating], per_sample: int, out: NDArray[np.float32]) -> None:
    """So many ``outer`` as ``per_sample`` says are one sample; 0: there are no samples."""
    # Not compiled: LLVM would optimise all that is called once more, for seconds.
    if in_columns(cube.shape[0], cube.shape[2]):
        reduce_columns(cube, per_sample, out)
    else:
        reduce_runs(cube, per_sample, out)
