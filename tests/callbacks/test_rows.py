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


def test_what_lies_on_another_device_travels_in_one_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers: list[torch.Tensor] = []

    def sent(buffer: torch.Tensor) -> tuple[torch.Tensor, None]:
        buffers.append(buffer)
        return buffer, None

    monkeypatch.setattr(rows, "_on_host", lambda tensor: tensor.dtype is torch.float64)
    monkeypatch.setattr(rows, "_sent", sent)
    tensors = [torch.randn(8, 3), torch.tensor(2.0, dtype=torch.float64), torch.tensor(1.5), torch.randn(8, 2).half()]
    arrays = rows.to_host(tensors)()
    assert [buffer.shape for buffer in buffers] == [(8 * 3 + 1 + 8 * 2,)]
    for array, tensor in zip(arrays, tensors, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, tensor.float().numpy())


def test_the_latest_values_are_the_snapshots_own_where_nothing_is_missing() -> None:
    layout = Layout((Row(A, 2), Row(B, 1)))
    first, second = np.ones(24, np.float32), np.full(24, 2, np.float32)
    assert rows.latest(layout, second, first) is second
    layout.row_of(second, 1)[moments.COUNT] = 0
    found = rows.latest(layout, second, first)
    assert found[:16].tolist() == [2] * 16
    assert found[16:].tolist() == [1] * 8
    assert second[16] == 0


def test_a_unit_that_saw_nothing_does_not_make_its_row_absent() -> None:
    layout = Layout((Row(A, 2),))
    before, values = np.ones(16, np.float32), np.full(16, 2, np.float32)
    layout.row_of(values, 0)[moments.COUNT, 0] = 0
    assert rows.latest(layout, values, before) is values


def test_the_gradient_norm_is_that_of_all_values() -> None:
    x, rest = torch.randn(6, 3), torch.randn(5)
    row = reduce(x, 1, False).numpy()
    norm = rows.gradient_norm([A, B, B], [row, row, row], [float(rest.norm())])
    assert norm == pytest.approx(float(torch.cat([x.flatten(), x.flatten(), rest]).norm()), rel=1e-5)
    x[0, 0] = torch.inf
    assert math.isnan(rows.gradient_norm([B], [reduce(x, 1, False).numpy()], []))
