from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from dgm_tb.records import RowKey
from lightning_callbacks import moments, scaling
from lightning_callbacks.scaling import Scaling


def _scaling(program: int = 0, unscaled: Any = lambda optimizer: None) -> Scaling:
    return Scaling(program=lambda: program, unscaled=unscaled, failed=_raise)


def _raise(error: Exception) -> None:
    raise error


def test_a_row_divided_is_the_row_of_what_is_divided() -> None:
    values = torch.randn(6, 3) * 1e4
    values[0, 0], values[1, 1] = torch.inf, 0.0
    key = RowKey("a", "backward#2", "gradient")
    others = [RowKey("a", "backward#2", "activation"), RowKey("a", "backward#0", "gradient")]
    scale = torch.tensor(2.0**12)
    row = moments.reduce(values * scale, 1, sampled=True)
    with _scaling() as watching:
        watching.scales[2] = scale
        found = dict(watching.unscaled([(key, row), *((other, row) for other in others)]))
    np.testing.assert_allclose(found[key], moments.reduce(values, 1, sampled=True), rtol=1e-6)
    for other in others:
        assert found[other] is row


@pytest.mark.parametrize("enabled", [False, True])
def test_only_a_scaler_that_scales_is_seen(enabled: bool) -> None:
    net = nn.Linear(2, 1)
    seen: list[torch.optim.Optimizer] = []
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    scaler = GradScaler("cpu", init_scale=8.0, enabled=enabled)
    with _scaling(3, seen.append) as watching:
        scaler.scale(outputs=net(torch.ones(2)).sum()).backward()
        assert seen == []
        scaler.step(optimizer)
        scaler.update(4.0)
        assert {k: v.item() for k, v in watching.scales.items()} == ({3: 8.0} if enabled else {})
        assert seen == ([optimizer] if enabled else [])


def test_a_scaled_loss_that_is_kept_keeps_nothing_of_ours() -> None:
    net = nn.Linear(2, 1)
    with _scaling() as watching:
        kept: Tensor = GradScaler("cpu").scale(net(torch.ones(2)).sum())
    reference = weakref.ref(watching)
    del watching
    gc.collect()
    assert reference() is None
    kept.backward()


def test_which_optimizers_undo_the_scale_themselves() -> None:
    parameters = [nn.Parameter(torch.zeros(2))]
    assert scaling.undoes(torch.optim.Adam(parameters, fused=True))
    assert not scaling.undoes(torch.optim.Adam(parameters))
    assert scaling.pending(torch.optim.SGD(parameters)) is None
