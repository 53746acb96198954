from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dgm_tb.moments import COUNT, M2, MEAN, NONFINITE, STATISTICS
from lightning_callbacks import moments
from tests.callbacks.oracles import slow_moments


def _device_twin(tensor: Tensor, axis: int, sampled: bool) -> Tensor:
    """What another device than the CPU computes."""
    tensor, shape, per_sample = moments._in_order(tensor, axis, sampled)
    return moments._reduce_torch(tensor.view(shape), per_sample)


def _same(found: Tensor, expected: np.ndarray, tensor: Tensor) -> None:
    size = float(np.nan_to_num(tensor.double().abs().numpy(), posinf=0).max()) if tensor.numel() else 0.0
    for index, name in enumerate(STATISTICS):
        slack = {"mean": 1e-5 * size, "m2": 1e-5 * size**2}.get(name, 0.0)
        np.testing.assert_allclose(found[index].numpy(), expected[index], rtol=2e-5, atol=slack, err_msg=name)


SHAPES = [
    ((7,), 0, True),
    ((7,), 0, False),
    ((5, 3), 1, True),
    ((5, 3), 0, False),
    ((4, 3, 5, 5), 1, True),
    ((3, 2, 9, 9), 1, True),
    ((2, 70), 0, False),
    ((3, 200), 0, False),
    ((3, 4, 6), -1, True),
    ((3, 4, 6), 1, True),
    ((600, 2), 1, True),
    ((2, 3, 40000), 1, True),
    ((4, 1100), 1, True),
    ((2, 700, 3), 1, True),
    ((1, 1), 1, True),
]


@pytest.mark.parametrize("reduce", [moments.reduce, _device_twin])
@pytest.mark.parametrize(("shape", "axis", "sampled"), SHAPES)
def test_all_statistics_of_every_layout(reduce: object, shape: tuple[int, ...], axis: int, sampled: bool) -> None:
    tensor = torch.randn(shape).clamp(min=-0.5)
    tensor.view(-1)[::3] = 0
    _same(reduce(tensor, axis, sampled), slow_moments(tensor, axis, sampled), tensor)  # type: ignore[operator]


@pytest.mark.parametrize("reduce", [moments.reduce, _device_twin])
@pytest.mark.parametrize("shape", [(64, 5), (3, 5, 100), (2, 5, 3)])
def test_nonfinite_values_are_counted_and_set_aside(reduce: object, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape)
    tensor[0, 0] = torch.nan
    tensor[1, 1] = torch.inf
    tensor[1, 2] = -torch.inf
    tensor[:, 3] = torch.nan  # a unit without any finite value
    _same(reduce(tensor, 1, True), slow_moments(tensor, 1, True), tensor)  # type: ignore[operator]


@pytest.mark.parametrize("reduce", [moments.reduce, _device_twin])
@pytest.mark.parametrize("shape", [(4000, 3), (40, 3, 100)])
def test_the_variance_is_stable(reduce: object, shape: tuple[int, ...]) -> None:
    tensor = 1e4 + torch.randn(shape)
    row = reduce(tensor, 1, True)  # type: ignore[operator]
    np.testing.assert_allclose(
        (row[M2] / row[COUNT]).sqrt().numpy(),
        tensor.double().transpose(0, 1).flatten(1).std(1, False).numpy(),
        rtol=1e-5,
    )


def test_values_whose_sum_overflows_keep_their_mean() -> None:
    tensor = torch.full((4, 2), 3e38)
    assert moments.reduce(tensor, 1, True)[MEAN].tolist() == pytest.approx([3e38, 3e38])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    tensor = torch.randn(9, 4).to(dtype)
    _same(moments.reduce(tensor, 1, True), slow_moments(tensor, 1, True), tensor)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(4, 3, 6, 6).to(memory_format=torch.channels_last),
        lambda: torch.randn(3, 5, 4).transpose(1, 2),
        lambda: torch.randn(5, 4, 3).transpose(0, 1),
        lambda: torch.randn(8, 6)[::2, ::2],
        lambda: torch.randn(1, 4).expand(5, 4),
    ],
)
def test_tensors_that_are_not_contiguous(make: object) -> None:
    tensor: Tensor = make()  # type: ignore[operator]
    _same(moments.reduce(tensor, 1, True), slow_moments(tensor, 1, True), tensor)


def test_an_empty_batch_counts_nothing() -> None:
    row = moments.reduce(torch.empty(0, 3), 1, True)
    assert row[COUNT].tolist() == [0, 0, 0]
    assert row[MEAN].isnan().all()
    assert row[NONFINITE].tolist() == [0, 0, 0]


def test_nothing_of_the_tensor_changes() -> None:
    tensor = torch.randn(5, 3, requires_grad=True)
    before = tensor.detach().clone()
    moments.reduce(tensor.detach(), 1, True)
    assert torch.equal(tensor, before)
    assert tensor._version == 0


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 80), st.data())
def test_any_values(samples: int, units: int, inner: int, data: st.DataObject) -> None:
    few = data.draw(st.lists(FLOATS, min_size=1, max_size=8))
    picks = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, len(few), (samples, units, inner))
    tensor = torch.tensor(np.array(few, np.float32)[picks])
    found, expected = moments.reduce(tensor, 1, True), slow_moments(tensor, 1, True)
    for exact in (0, 3, 4, 5, 6, 7):
        np.testing.assert_array_equal(
            found[exact].numpy(), expected[exact].astype(np.float32), err_msg=STATISTICS[exact]
        )
    with np.errstate(over="ignore", invalid="ignore"):
        size = float(tensor.double().nan_to_num(0, 0, 0).abs().max())
        np.testing.assert_allclose(found[1].numpy(), expected[1], rtol=1e-4, atol=1e-5 * size + 1e-44)


@pytest.mark.parametrize("shape", [(1, 5, 100), (1, 3, 20000), (1, 7, 3), (3, 4, 6), (1, 300, 784)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_are_kept_and_their_change_is_reduced(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    before, after = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    kept = torch.empty_like(before)
    _same(moments.reduce_keeping(before, kept), slow_moments(before, 1, False), before)
    assert torch.equal(kept, before)
    _same(moments.reduce_change(after, kept), slow_moments(after - before, 1, False), after)
    assert torch.equal(kept, before)


@pytest.mark.parametrize("shape", [(1, 5, 100), (1, 7, 3)])
def test_a_weight_with_nonfinite_values_is_kept_and_its_change_read_carefully(shape: tuple[int, ...]) -> None:
    before, after = torch.randn(shape), torch.randn(shape)
    before[0, 1, 2], after[0, 2, 0], after[0, 4] = torch.inf, torch.nan, -torch.inf
    kept = torch.empty_like(before)
    _same(moments.reduce_keeping(before, kept), slow_moments(before, 1, False), before)
    assert torch.equal(kept, before)
    _same(moments.reduce_change(after, kept), slow_moments(after - before, 1, False), after)


def test_a_unit_that_begins_far_from_its_mean_is_read_again() -> None:
    tensor = torch.randn(500, 3, 90) * 1e-3
    tensor[0] += 1e3  # the shift of the sums is taken from here
    for part in (tensor[:, :, :1], tensor, tensor[:4]):
        _same(moments.reduce(part, 1, True), slow_moments(part, 1, True), torch.zeros(1))
