from __future__ import annotations

import pytest
import torch

from dgm_tb.records import RowKey
from lightning_callbacks import model, options
from lightning_callbacks.inventory import Inventory
from tests.callbacks.networks import Gru, Mlp

KEY = RowKey("first", "backward#0", "activation")


def _inventory() -> Inventory:
    return Inventory(model.survey(Mlp(), options.parse(1)))


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


def test_what_the_user_says_a_module_is_stands_in_its_nodes() -> None:
    roles = {"last": "logits", "last#1": "fake", "fir.t": "generator"}
    inventory = Inventory(model.survey(Mlp(), options.parse(1, roles=roles)))
    assert [inventory.describe(name, name.split("#")[0]).role for name in ("first", "act", "last", "last#1")] == [
        "generator",
        "",
        "logits",
        "fake",
    ]


def test_all_calls_that_are_kept_apart_have_rows_from_the_start() -> None:
    inventory = Inventory(model.survey(Gru(), options.parse(1, calls={"gates": 4})))
    weight = RowKey("cell.gates", "backward#0", "weight")
    activations = [RowKey(f"cell.gates{call}", "backward#0", "activation") for call in ("", "#1", "#2", "#3")]
    found = [(activations[0], torch.zeros(8, 10)), (activations[1], torch.zeros(8, 10)), (weight, torch.zeros(8, 10))]
    paths = {"cell.gates": "cell.gates", "cell.gates#1": "cell.gates"}
    assert inventory.extend(found, paths, {})
    assert {row.key for row in inventory.layout.rows} == {*activations, weight}
    assert set(inventory.nodes) == {key.node for key in activations}
    more = [(key, torch.zeros(8, 10)) for key in activations]
    assert not inventory.extend(more, {key.node: "cell.gates" for key in activations}, {})
