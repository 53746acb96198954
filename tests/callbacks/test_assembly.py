from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dgm_tb import moments
from dgm_tb.moments import STATISTICS
from dgm_tb.records import CONTEXT, RowKey
from lightning_callbacks import assembly, model, options
from lightning_callbacks.assembly import Assembly
from lightning_callbacks.inventory import Inventory
from lightning_callbacks.options import Group

FIRST, SECOND = RowKey("0", "backward#0", "activation"), RowKey("1", "backward#0", "activation")


def _inventory(**arguments: object) -> Inventory:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    inventory = Inventory(model.survey(net, options.parse(1, **arguments)))  # type: ignore[arg-type]
    rows = [(FIRST, torch.zeros(8, 3)), (SECOND, torch.zeros(8, 4))]
    assert inventory.extend(rows, {"0": "0", "1": "1"}, {})
    return inventory


def _rows(seed: int) -> list[tuple[RowKey, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (FIRST, torch.rand(8, 3, generator=generator) + 1),
        (SECOND, torch.rand(8, 4, generator=generator) + 1),
    ]


def test_rows_are_cut_to_what_was_chosen_and_layers_are_summed_up_from_all() -> None:
    whole, few = _inventory(), _inventory(statistics=["mean"], groups={"1": Group(statistics=["max", "std"])})
    assert whole.stored is whole.layout
    assert [row.channels for row in few.stored.rows] == [
        ("count", "mean", "nonfinite"),
        ("count", "mean", "m2", "max", "nonfinite"),
    ]
    assemblies = [Assembly(inventory, lambda: 5.0) for inventory in (whole, few)]
    for step in range(3):
        full, kept = (each.snapshot(step, _rows(step), [], {"epoch": 2})() for each in assemblies)
        np.testing.assert_array_equal(kept.aggregates, full.aggregates)  # the change over steps, too
        np.testing.assert_array_equal(kept.context, full.context)
        assert kept.context[CONTEXT.index("epoch")] == 2
        for index, row in enumerate(few.stored.rows):
            channels = [STATISTICS.index(name) for name in row.channels]
            np.testing.assert_array_equal(
                few.stored.row_of(kept.values, index), whole.layout.row_of(full.values, index)[channels]
            )


def test_a_row_that_was_not_due_is_absent() -> None:
    inventory = _inventory(statistics=["mean"])
    made = Assembly(inventory, lambda: 5.0).snapshot(7, _rows(0)[:1], [], {})()
    assert made.step == 7
    assert inventory.stored.row_of(made.values, 1)[moments.COUNT].tolist() == [0] * 4
    assert np.isnan(inventory.stored.row_of(made.values, 1)[1]).all()
    assert np.isnan(made.aggregates[1]).all()


def test_the_manifest_says_what_is_stored() -> None:
    inventory = _inventory(statistics=["mean"])
    manifest = Assembly(inventory, lambda: 5.0).manifest({"every_n_steps": 1})
    assert manifest.layout is inventory.stored
    assert (manifest.created, manifest.schedule) == (5.0, {"every_n_steps": 1})
    assert manifest.versions["torch"] == assembly.versions()["torch"]
    assert [node.name for node in manifest.nodes] == ["0", "1"]
