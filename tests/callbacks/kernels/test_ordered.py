from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_tb.compiled import compiled
from lightning_callbacks.kernels.ordered import floating, ordered

FLOATS = st.floats(allow_nan=False, width=32)


@compiled
def _order(value: Any) -> int:
    key: int = ordered(value)
    return key


@compiled
def _round_trip(value: Any) -> float:
    found: float = floating(ordered(value))
    return found


@settings(max_examples=100, deadline=None)
@given(FLOATS, FLOATS, st.sampled_from([np.float32, np.float64]))
def test_the_integers_are_ordered_like_the_floats(a: float, b: float, kind: type) -> None:
    if a < b:
        assert _order(kind(a)) < _order(kind(b))
    assert _round_trip(kind(a)) == a


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nan_lies_outside_of_all_numbers(kind: type) -> None:
    assert _order(kind(np.nan)) > _order(kind(np.inf)) or _order(kind(np.nan)) < _order(kind(-np.inf))
    assert np.isnan(_round_trip(kind(np.nan)))
