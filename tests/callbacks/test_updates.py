from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from dgm_tb.records import QUANTITIES, RowKey
from lightning_callbacks import units
from lightning_callbacks.updates import Updates
from tests.callbacks.oracles import slow_moments


def _raise(error: Exception) -> None:
    raise error


def _updates(net: nn.Module, **changed: Any) -> Updates:
    settings: dict[str, Any] = {
        "due": {path: frozenset(QUANTITIES) for path, _ in net.named_modules()},
        "program": lambda: "backward#0",
        "lightning": False,
        "memory": {},
        "failed": _raise,
    }
    weights = units.weights(dict(net.named_modules()))
    return Updates(weights, list(net.parameters()), **(settings | changed))


def _weight(net: nn.Sequential) -> Tensor:
    weight = net[0].weight
    assert isinstance(weight, Tensor)
    return weight.detach().clone()


def _gradient(module: nn.Module, name: str = "weight") -> Tensor:
    gradient = module.get_parameter(name).grad
    assert gradient is not None
    return gradient


def _check(rows: list[tuple[RowKey, Tensor]], quantity: str, expected: Tensor, node: str = "0") -> None:
    found = [row for key, row in rows if key == RowKey(node, "backward#0", quantity)]
    assert len(found) == 1
    np.testing.assert_allclose(found[0].numpy(), slow_moments(expected, 0, False), rtol=1e-4, atol=1e-7)


def test_weight_gradient_and_update_of_a_step() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    net(torch.randn(5, 3)).square().sum().backward()
    before, gradient = _weight(net), _gradient(net[0]).clone()
    with _updates(net) as updates:
        optimizer.step()
    _check(updates.rows, "weight", before)
    _check(updates.rows, "weight_gradient", gradient)
    _check(updates.rows, "update", _weight(net) - before)
    assert [float(norm) for norm in updates.norms] == pytest.approx([float(_gradient(net[0], "bias").norm())])


def test_a_step_with_a_closure_is_read_after_it() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    before = _weight(net)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = net(torch.ones(5, 3)).square().sum()
        loss.backward()
        return loss

    with _updates(net) as updates:
        optimizer.step(closure)
    _check(updates.rows, "weight", before)
    _check(updates.rows, "weight_gradient", _gradient(net[0]))
    _check(updates.rows, "update", _weight(net) - before)


def test_under_lightning_a_closure_waits_for_the_announcement() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    before = _weight(net)
    seen: list[Tensor] = []
    with _updates(net, lightning=True) as updates:

        def closure() -> Tensor:
            loss: Tensor = net(torch.ones(5, 3)).square().sum()
            loss.backward()
            updates.before_step(optimizer)
            seen.append(_gradient(net[0]).clone())
            nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
            return loss

        optimizer.step(closure)
    _check(updates.rows, "weight_gradient", seen[0])  # before clipping
    _check(updates.rows, "update", _weight(net) - before)


def test_an_optimizer_of_something_else_is_ignored() -> None:
    net, other = nn.Sequential(nn.Linear(3, 4)), nn.Linear(2, 2)
    other(torch.ones(1, 2)).sum().backward()
    with _updates(net) as updates:
        torch.optim.SGD(other.parameters(), 0.1).step()
    assert updates.rows == []


def test_a_parameter_without_a_gradient_has_no_gradient_row() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    net[0](torch.ones(5, 3)).sum().backward()
    with _updates(net) as updates:
        optimizer.step()
    assert {key.node for key, _ in updates.rows if key.quantity == "weight_gradient"} == {"0"}


def test_a_sparse_gradient() -> None:
    net = nn.Sequential(nn.Embedding(6, 3, sparse=True))
    net(torch.tensor([1, 1, 4])).square().sum().backward()
    with _updates(net) as updates:
        torch.optim.SGD(net.parameters(), 0.1).step()
    row = next(row for key, row in updates.rows if key.quantity == "weight_gradient")
    np.testing.assert_allclose(row.numpy(), slow_moments(_gradient(net[0]).to_dense(), 1, False), rtol=1e-4, atol=1e-6)


def test_only_what_was_asked_for_and_norms_cover_the_rest() -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    net(torch.ones(5, 3)).sum().backward()
    with _updates(net, due={"0": frozenset({"update"})}) as updates:
        torch.optim.SGD(net.parameters(), 0.1).step()
    assert {key.quantity for key, _ in updates.rows} == {"update"}
    assert len(updates.norms) == 2


def test_the_hooks_come_off() -> None:
    counts = len(_global_optimizer_pre_hooks), len(_global_optimizer_post_hooks)
    with _updates(nn.Sequential(nn.Linear(3, 4))):
        assert len(_global_optimizer_pre_hooks) == counts[0] + 1
    assert (len(_global_optimizer_pre_hooks), len(_global_optimizer_post_hooks)) == counts
