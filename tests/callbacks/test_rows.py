from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dgm_tb import moments
from dgm_tb.records import CONTEXT, Layout, Row, RowKey
from lightning_callbacks import rows
from lightning_callbacks.moments import reduce

A, B = RowKey("a", "backward#0", "activation"), RowKey("b", "backward#0", "weight_gradient")


def test_a_layout_only_grows() -> None:
    layout = Layout((Row(A, 3),))
    assert rows.extended(layout, [(A, torch.zeros(8, 3))]) is layout
    grown = rows.extended(layout, [(B, torch.zeros(8, 2)), (B, torch.zeros(8, 2))])
    assert grown.rows == (Row(A, 3), Row(B, 2))


def test_rows_of_another_size_do_not_fit() -> None:
    assert rows.misfits(Layout((Row(A, 3),)), [(A, torch.zeros(8, 4)), (B, torch.zeros(8, 1))]) == {A}


def test_a_snapshot_merges_parts_and_marks_what_is_absent() -> None:
    x = torch.randn(10, 3)
    parts = [reduce(x[:4], 1, True).numpy(), reduce(x[4:], 1, True).numpy()]
    snapshot = rows.snapshot(Layout((Row(B, 2), Row(A, 3))), 7, {"epoch": 2.0}, [A, A], parts)
    layout = Layout((Row(B, 2), Row(A, 3)))
    np.testing.assert_array_equal(layout.row_of(snapshot.values, 0), moments.absent(2))
    np.testing.assert_allclose(
        layout.row_of(snapshot.values, 1)[:7], reduce(x, 1, True)[:7].numpy(), rtol=1e-5, atol=1e-6
    )
    assert snapshot.context[CONTEXT.index("epoch")] == 2.0
    assert math.isnan(snapshot.context[CONTEXT.index("amp_scale")])
    np.testing.assert_allclose(snapshot.aggregates[1], moments.aggregate(layout.row_of(snapshot.values, 1)), rtol=1e-6)


def test_a_change_is_from_the_last_recorded_value_however_long_ago() -> None:
    layout = Layout((Row(A, 3),))
    grown = Layout((Row(A, 3), Row(B, 2)))
    first, last = reduce(torch.randn(4, 3), 1, True).numpy(), reduce(torch.randn(4, 3), 1, True).numpy()
    other = reduce(torch.randn(4, 2), 1, True).numpy()
    before = None
    for step, (form, key, row) in enumerate([(layout, A, first), (grown, B, other), (grown, A, last)]):
        snapshot = rows.snapshot(form, step, {}, [key], [row], before)
        before = rows.latest(form, snapshot.values, before)
    np.testing.assert_allclose(snapshot.aggregates[0], moments.aggregate(last, first), rtol=1e-6)
    assert before is not None
    np.testing.assert_array_equal(grown.row_of(before, 1), other)


def test_tensors_come_to_the_host_in_order() -> None:
    found = rows.to_host([torch.ones(2, 3), torch.tensor(4.0), torch.zeros(1, dtype=torch.bfloat16)])()
    assert [array.shape for array in found] == [(2, 3), (), (1,)]
    assert float(found[1]) == 4.0


def test_the_gradient_norm_follows_from_the_moments() -> None:
    gradient, bias = torch.randn(5, 7), torch.randn(5)
    row = reduce(gradient, 0, False).numpy()
    norm = rows.gradient_norm([B, A], [row, row], [float(bias.norm())])
    assert norm == pytest.approx(math.sqrt(float(gradient.square().sum() + bias.square().sum())), rel=1e-5)


def test_the_norm_of_a_broken_gradient_is_nan() -> None:
    row = reduce(torch.tensor([[1.0, torch.inf]]), 0, False).numpy()
    assert math.isnan(rows.gradient_norm([B], [row], []))
    assert math.isnan(rows.gradient_norm([], [], [math.nan]))
