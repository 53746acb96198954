from __future__ import annotations

import pytest
import torch

from dgm_tb.records import QUANTITIES, RowKey
from lightning_callbacks import model, options
from lightning_callbacks.inventory import Inventory
from tests.callbacks.networks import Mlp

KEY = RowKey("first", "backward#0", "activation")


def _inventory() -> Inventory:
    return Inventory(model.survey(Mlp(), options.parse(1, QUANTITIES, None, None, None)))


def test_nodes_learn_their_programs_and_quantities() -> None:
    inventory = _inventory()
    assert inventory.extend([(KEY, torch.zeros(8, 8))], {"first": "first"}, {"first": (4, 8)})
    assert not inventory.extend([(KEY, torch.zeros(8, 8))], {"first": "first"}, {})
    assert inventory.extend([(RowKey("first", "backward#1", "weight"), torch.zeros(8, 8))], {"first": "first"}, {})
    node = inventory.nodes["first"]
    assert (node.module_type, node.units, node.parameters, node.shape) == ("Linear", 8, 56, (4, 8))
    assert node.programs == ("backward#0", "backward#1")
    assert node.quantities == ("activation", "weight")


def test_a_row_of_another_size_is_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    inventory = _inventory()
    inventory.extend([(KEY, torch.zeros(8, 8))], {"first": "first"}, {})
    for _ in range(2):
        assert inventory.fitting([(KEY, torch.zeros(8, 9))]) == []
    assert caplog.text.count("another number of units") == 1
    assert "unit_axis={'first': -1}" in caplog.text
