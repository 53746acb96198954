"""The compiled kernels, compiled before the first question needs them."""

from __future__ import annotations

import numpy as np

from dgm_tb.analysis.density import dense_lines
from dgm_tb.analysis.sampling import sample_lines
from dgm_tb.analysis.scales import fit
from dgm_tb.store.columns import turn_back


def compile_kernels() -> None:
    """Draws a few lines, one of them broken: 7 s in a fresh installation, 0.4 s once numba has its cache (2 cores)."""
    values = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    values[3, 4:] = np.nan
    sample_lines(values, 20)
    turn_back(values.view(np.uint32), np.empty((8, 80), np.uint32)[:, :64])
    dense_lines(values, np.arange(8.0), width=16, height=16, scale=fit(values, "symlog"))
