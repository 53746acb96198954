from __future__ import annotations

import gc
import logging
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder, views


def test_a_view_that_is_changed_in_place_is_told() -> None:
    source = torch.randn(2, 4, requires_grad=True) * 2
    view = source.flatten()
    changed = views.witness(view)
    assert changed is not None
    assert not changed()
    view.relu_()
    assert changed()


def test_what_is_no_view_hides_nothing() -> None:
    assert views.witness(torch.randn(3, requires_grad=True) * 2) is None


def test_a_witness_keeps_nothing_alive() -> None:
    source = torch.randn(2, 4, requires_grad=True) * 2
    view = source.flatten()
    storage, tensor = weakref.ref(view.untyped_storage()), weakref.ref(view)
    changed = views.witness(view)
    del source, view
    gc.collect()
    assert storage() is None
    assert tensor() is None
    assert changed is not None
    assert not changed()


@pytest.mark.parametrize("detached", [False, True])
def test_said_once_and_only_where_a_gradient_is_hidden(
    detached: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = nn.ModuleDict({"conv": nn.Conv1d(1, 2, 3), "flat": nn.Flatten(), "head": nn.Linear(8, 1)})
    with Recorder(net, tmp_path, every_n_steps=1) as recorder:
        for _ in range(3):
            with recorder.step():
                flat = net["flat"](net["conv"](torch.randn(4, 1, 6)))
                # A view whose gradient does not exist, since it is detached, is no such case.
                net["head"](flat.detach() if detached else flat.relu_()).square().mean().backward()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == (not detached)
    assert all("flat: the output is a view that is changed in place" in message for message in said)
    with Run(tmp_path) as run:
        assert RowKey("flat", "backward#0", "gradient") not in run.keys
        assert (RowKey("conv", "backward#0", "gradient") in run.keys) == (not detached)
