"""What remains of a session where its training went back: what nothing written later abandons (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dgm_tb.store.recording import Written


def remaining(levels: Sequence[Written]) -> list[NDArray[np.bool_]]:
    """Which points of each level remain ``(points,)``.

    A snapshot remains if all that was written after it is of later steps. So does a point, if also every snapshot and
    point that it covers and that is still there remains; what it covers is otherwise known by its first and last step.
    """
    begin = np.concatenate([level.begin for level in levels])
    order = np.argsort(begin, kind="stable")
    begin, first = begin[order], np.concatenate([level.first for level in levels])[order]
    least = np.append(np.minimum.accumulate(first[::-1])[::-1], 0)  # from each place of the writing order on
    found: list[NDArray[np.bool_]] = []
    for number, level in enumerate(levels):
        after = np.searchsorted(begin, level.end)
        keep = (after == len(begin)) | (level.last < least[after])
        for lower, lower_keep in zip(levels[:number], found, strict=True):
            lost = np.append(0, np.cumsum(~lower_keep))
            edges = np.searchsorted(lower.begin, [level.begin, level.end])
            keep &= lost[edges[0]] == lost[edges[1]]
        found.append(keep)
    return found
