"""What a person should know of a run although nothing is wrong: thinned stretches, a longer interval, ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from dgm_tb.store.run import Run

#: So many snapshots in a row further apart than was asked for are no single skipped one.
_SKIPPED: Final = 8
#: Stretches that are named.
_NAMED: Final = 3

Stretch = tuple[int, int]


def notes(run: Run) -> tuple[str, ...]:
    """Sentences for a person."""
    return (*_thinned(run), *_lengthened(run), *_ranks(run))


def thinned(run: Run) -> tuple[Stretch, ...]:
    """First and last step of the stretches whose single snapshots were given up, ascending and apart."""
    joined: list[Stretch] = []
    steps = run.steps
    for lost in run.thinned:
        if lost.level == 0:
            first, last = lost.first_step, lost.last_step
            begin, end = np.searchsorted(steps, [joined[-1][1] + 1, first]) if joined else (0, 1)
            if begin >= end and joined:  # no snapshot is left between them
                first, last = joined[-1][0], max(last, joined.pop()[1])
            joined.append((first, last))
    return tuple(joined)


def _thinned(run: Run) -> Iterator[str]:
    stretches = thinned(run)
    if stretches:
        named = [f"{first:,} to {last:,}" for first, last in stretches[:_NAMED]]
        more = len(stretches) - len(named)
        where = ", ".join(named) + (f" and {more} more stretches" if more else "")
        reasons = "; ".join(dict.fromkeys(lost.reason for lost in run.thinned if lost.level == 0))
        yield f"of steps {where} the single snapshots were given up ({reasons}); what was summed up of them is drawn"


def _lengthened(run: Run) -> Iterator[str]:
    asked, latest = run.schedule.get("every_n_steps"), np.diff(run.steps[-_SKIPPED - 1 :])
    if isinstance(asked, int) and len(latest) == _SKIPPED and latest.min() > asked:
        yield f"snapshots are {int(latest.min()):,} steps apart now, not every {asked:,}, to keep the disk budget"


def _ranks(run: Run) -> Iterator[str]:
    if run.ranks > 1:
        yield f"{run.ranks} ranks recorded this run; their numbers are merged"
