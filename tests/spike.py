"""Where a person would look first: the loss spike that the failure begins with, told from the losses alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.windows import jump_scores
from dgm_tb.run import RunView

#: A loss this many times the median of the `CALM` steps before it stands out on any axis; ordinary batches reach 1.5.
TIMES = 10
CALM = 100
#: Spikes with fewer calm steps than this between them are one episode.
PAUSE = 60
#: Snapshots on each side of the focus, as the tab shows by default.
WINDOW = 25


def spike_step(run: RunView) -> int:
    """The first step of the last episode in which the loss stood out."""
    loss = run.losses.values[run.losses.columns.index("loss")]
    steps = run.losses.steps
    spikes = [
        i for i in range(CALM, len(loss)) if np.isfinite(loss[i]) and loss[i] > TIMES * np.median(loss[i - CALM : i])
    ]
    begins = [i for k, i in enumerate(spikes) if k == 0 or i - spikes[k - 1] > PAUSE]
    return int(steps[begins[-1]])


def positions_before(run: RunView, focus: int) -> NDArray[np.int64]:
    """Where the snapshots from `WINDOW` before ``focus`` up to it stand."""
    last = int(np.searchsorted(run.steps, focus, side="right"))
    return np.arange(max(last - 1 - WINDOW, 0), last)


def jumps(series: list[NDArray[np.floating]]) -> NDArray[np.float64]:
    """How unusual the jump into the last snapshot is, from layers' series ``(snapshots, units)`` themselves."""
    changes = np.stack([np.sqrt((np.diff(values, axis=0) ** 2).mean(axis=1)) for values in series])
    sizes = np.array([np.median(np.abs(values).max(axis=1)) for values in series])
    return jump_scores(changes, sizes, changes.shape[1] - 1)
