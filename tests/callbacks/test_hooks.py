from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dgm_tb.moments import COUNT, MEAN
from dgm_tb.records import QUANTITIES, RowKey
from lightning_callbacks import units
from lightning_callbacks.hooks import Hooks, call_suffixes
from tests.callbacks.oracles import slow_moments


def _raise(error: Exception) -> None:
    raise error


def _hooks(net: nn.Module, **changed: Any) -> Hooks:
    modules = {path: m for path, m in net.named_modules() if path and not list(m.children())}
    axes = {path: units.output_axis(module) for path, module in modules.items()}
    due = dict.fromkeys(modules, frozenset(QUANTITIES))
    settings: dict[str, Any] = {"due": due, "axes": axes, "failed": _raise}
    return Hooks(modules, **(settings | changed))


def _rows(hooks: Hooks) -> Mapping[RowKey, list[Tensor]]:
    found: dict[RowKey, list[Tensor]] = {}
    for key, row in hooks.rows():
        found.setdefault(key, []).append(row)
    return found


def _key(node: str, quantity: str = "activation", program: int = 0) -> RowKey:
    return RowKey(node, f"backward#{program}", quantity)


def test_activations_and_gradients_are_those_of_the_step() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    x = torch.randn(6, 3)
    with _hooks(net) as hooks:
        h = net[0](x)
        h.retain_grad()
        y = net[1](h)
        loss: Tensor = (y**2).sum()
        loss.backward()
    rows = _rows(hooks)
    np.testing.assert_allclose(rows[_key("0")][0].numpy(), slow_moments(h, 1, True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        rows[_key("0", "gradient")][0].numpy(), slow_moments(h.grad, 1, True), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        rows[_key("1", "gradient")][0].numpy(), slow_moments(2 * y, 1, True), rtol=1e-4, atol=1e-6
    )


def test_the_program_is_the_backward_that_the_gradient_came_in() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with _hooks(net) as hooks:
        net[1](net[0](torch.randn(5, 3)).detach()).sum().backward()
        net(torch.randn(5, 3)).sum().backward()
    rows = _rows(hooks)
    assert {k.program for k in rows if k.node == "1"} == {"backward#0", "backward#1"}
    assert _key("0", "activation") in rows  # without a gradient: the next backward that began
    assert _key("0", "gradient") not in rows
    assert _key("0", "gradient", 1) in rows


def test_a_call_without_gradient_after_the_last_backward_belongs_to_the_last() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    with _hooks(net) as hooks:
        net(torch.randn(5, 3)).sum().backward()
        net(torch.randn(5, 3)).sum().backward()
        with torch.no_grad():
            net(torch.randn(5, 3))
    assert [names for _, names in hooks.named()] == [((0, "0"),), ((1, "0"),), ((1, "0#1"),)]


@pytest.mark.parametrize(("calls", "suffixes"), [(1, [""]), (4, ["", "#1", "#2", "#3"]), (5, [""] * 5)])
def test_up_to_four_calls_are_told_apart(calls: int, suffixes: list[str]) -> None:
    assert list(call_suffixes(calls)) == suffixes


def test_more_than_four_calls_merge_into_one_row() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    with _hooks(net) as hooks:
        x = torch.randn(5, 3)
        for _ in range(6):
            x = net(x)
        x.sum().backward()
    rows = _rows(hooks)
    assert set(rows) == {_key("0"), _key("0", "gradient")}
    assert len(rows[_key("0")]) == len(rows[_key("0", "gradient")]) == 6


def test_in_place_activations() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))
    x = torch.randn(6, 3)
    before = net[0](x).detach().clone()
    with _hooks(net) as hooks:
        net(x).sum().backward()
    rows = _rows(hooks)
    np.testing.assert_allclose(rows[_key("0")][0].numpy(), slow_moments(before, 1, True), rtol=1e-4, atol=1e-6)
    passed = (before > 0).double()
    np.testing.assert_allclose(rows[_key("0", "gradient")][0][MEAN].numpy(), passed.mean(0).numpy(), rtol=1e-5)
    np.testing.assert_allclose(rows[_key("1", "gradient")][0][MEAN].numpy(), np.ones(4))


def test_element_wise_modules_have_the_units_of_what_feeds_them() -> None:
    net = nn.ModuleDict(
        {
            "lin": nn.Linear(3, 4),
            "gelu": nn.GELU(),
            "drop": nn.Dropout(0.0),
            "conv": nn.Conv1d(5, 6, 1),
            "relu": nn.ReLU(),
        }
    )
    with _hooks(net) as hooks:
        h = net["gelu"](net["lin"](torch.randn(2, 5, 3)))
        net["drop"](h + 1)  # fed by a functional op: as the latest of as many dimensions
        net["relu"](net["conv"](h))
    counts = {key.node: rows[0].shape[1] for key, rows in _rows(hooks).items()}
    assert counts == {"lin": 4, "gelu": 4, "drop": 4, "conv": 6, "relu": 6}


@pytest.mark.parametrize(("shape", "units"), [((2, 5, 3), 5), ((2, 5, 3, 3), 5), ((2, 5), 5)])
def test_an_element_wise_module_fed_by_the_batch_takes_channels(shape: tuple[int, ...], units: int) -> None:
    net = nn.Sequential(nn.ReLU())
    with _hooks(net) as hooks:
        net(torch.randn(shape))
    assert _rows(hooks)[_key("0")][0].shape[1] == units


def test_a_given_unit_axis_wins() -> None:
    net = nn.Sequential(nn.ReLU())
    with _hooks(net, axes={"0": -1}) as hooks:
        net(torch.randn(2, 5, 3))
    assert _rows(hooks)[_key("0")][0].shape[1] == 3


class _Two(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"mean": x * 1, "variance": x * 2}


def test_each_output_of_a_module_has_its_row() -> None:
    net = nn.Sequential(_Two())
    with _hooks(net) as hooks:
        out = net(torch.randn(4, 3, requires_grad=True))
        out["variance"].sum().backward()
    rows = _rows(hooks)
    assert set(rows) == {_key("0"), _key("0[variance]"), _key("0[variance]", "gradient")}


def test_the_states_of_an_lstm_are_no_units() -> None:
    net = nn.ModuleDict({"rnn": nn.LSTM(3, 5)})
    with _hooks(net) as hooks:
        net["rnn"](torch.randn(7, 2, 3))
    assert {k.node: r[0].shape[1] for k, r in _rows(hooks).items()} == {"rnn": 5}


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_recomputation_under_checkpointing_is_no_call(reentrant: bool) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(5, 3, requires_grad=True)
    with _hooks(net) as hooks:
        net[2](checkpoint(lambda v: net[1](net[0](v)), x, use_reentrant=reentrant)).sum().backward()
    assert [call.path for call in hooks.calls] == ["0", "1", "2"]
    gradients = {k.node for k in _rows(hooks) if k.quantity == "gradient"}
    assert gradients == {"0", "1", "2"}


def test_a_gradient_that_does_not_arrive_has_no_row() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with _hooks(net) as hooks:
        net[0](torch.randn(5, 3))
        net[1](torch.randn(5, 4)).sum().backward()
    assert _key("0", "gradient") not in _rows(hooks)
    assert _rows(hooks)[_key("0")][0][COUNT].tolist() == [5] * 4


def test_only_what_was_asked_for() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    for quantity in ("activation", "gradient"):
        with _hooks(net, due={"0": frozenset({quantity})}) as hooks:
            net(torch.randn(5, 3)).sum().backward()
        assert {k.quantity for k in _rows(hooks)} == {quantity}


def test_all_hooks_come_off_and_a_kept_graph_keeps_nothing_of_ours() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    with _hooks(net) as hooks:
        kept = net(torch.randn(5, 3))
    assert not net[0]._forward_hooks
    reference = weakref.ref(hooks)
    del hooks
    gc.collect()
    assert reference() is None
    kept.sum().backward()


def test_no_tensor_of_the_training_is_kept_alive() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with _hooks(net) as hooks:
        out = net(torch.randn(5, 3))
        reference = weakref.ref(out)
        out.sum().backward()
        del out
        gc.collect()
        assert reference() is None
    assert hooks.calls


def test_what_goes_wrong_in_a_hook_is_reported_and_the_forward_goes_on() -> None:
    seen: list[Exception] = []
    net = nn.Sequential(nn.Linear(3, 4))
    with _hooks(net, axes={}, failed=seen.append):
        assert net(torch.randn(5, 3)).shape == (5, 4)
    assert [repr(error) for error in seen] == ["KeyError('0')"]
