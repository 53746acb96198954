from __future__ import annotations

import torch

from benchmarks import limits
from benchmarks.trainings import Case
from tests.benchmarks.tiny import Tiny


def test_the_kernels_and_one_read_take_their_time() -> None:
    fused, once = limits.against_a_read(Case("tiny", Tiny, lambda: torch.rand(4, 3)))
    assert 0 < once < 0.1
    assert 0 < fused < 0.1


def test_a_call_costs_something_and_twice_the_units_no_more_a_unit() -> None:
    assert 0 < limits.per_call(calls=5) < 0.01
    few, many = limits.growth((256, 2048))
    assert many < 4 * few
