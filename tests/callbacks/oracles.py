"""Slow, obvious twins of the recorder's arithmetic, in float64 and value by value."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dgm_tb.moments import STATISTICS


def slow_moments(tensor: Tensor, axis: int, sampled: bool) -> NDArray[np.float64]:
    """`lightning_callbacks.moments.reduce`: ``(statistics, units)``."""
    values = np.moveaxis(tensor.detach().double().numpy(), axis, -1)
    has_samples = sampled and values.ndim > 1 and axis % tensor.ndim != 0
    out = np.empty((len(STATISTICS), values.shape[-1]))
    for unit in range(values.shape[-1]):
        of_unit = values[..., unit]
        flat = of_unit.reshape(-1)
        finite = [float(v) for v in flat if math.isfinite(v)]
        mean = math.fsum(finite) / len(finite) if finite else math.nan
        sample, extreme = -1, -1.0
        if has_samples:
            for index, part in enumerate(of_unit.reshape(len(of_unit), -1)):
                for v in part:
                    if math.isfinite(v) and abs(v) > extreme:
                        sample, extreme = index, abs(float(v))
        out[:, unit] = (
            len(flat),
            mean,
            math.fsum((v - mean) ** 2 for v in finite) if finite else math.nan,
            min(finite, default=math.nan),
            max(finite, default=math.nan),
            sum(v == 0 for v in flat),
            len(flat) - len(finite),
            sample,
        )
    return out


def slow_spike(window: list[float], loss: float) -> float:
    """(loss − median) / (1.48 MAD) of the losses before it, by NumPy; the deviation counts as 1 % of the median."""
    values = np.array(window, np.longdouble)
    middle = np.median(values)
    deviation = max(np.longdouble(1.48) * np.median(np.abs(values - middle)), np.longdouble(0.01) * abs(middle))
    return float((loss - middle) / deviation) if deviation else 0.0
