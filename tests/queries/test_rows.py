from __future__ import annotations

import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.queries.rows import find
from dgm_tb.records import RowKey

KEYS = {
    RowKey("encoder.mean", "backward#1", "activation"): 3,
    RowKey("encoder.mean", "backward#0", "activation"): 3,
    RowKey("encoder.mean", "backward#0", "weight"): 3,
    RowKey("head", "backward#0", "activation"): 2,
}


def test_without_a_program_the_first_one_recorded_is_meant() -> None:
    assert find(KEYS, "encoder.mean", "activation", None).program == "backward#1"
    assert find(KEYS, "encoder.mean", "weight", None).program == "backward#0"


def test_a_program_is_taken_by_name() -> None:
    assert find(KEYS, "encoder.mean", "activation", "backward#0") == RowKey("encoder.mean", "backward#0", "activation")


@pytest.mark.parametrize(
    ("node", "quantity", "program", "says"),
    [
        ("encoder.maen", "activation", None, "node 'encoder.maen' has no recorded rows; did you mean 'encoder.mean'?"),
        ("zzz", "activation", None, "node 'zzz' has no recorded rows"),
        ("head", "weight", None, "quantity weight was not recorded of node 'head'; recorded: activation"),
        (
            "encoder.mean", "activation", "backward#2",
            "program 'backward#2' has no activation of node 'encoder.mean'; recorded in: backward#1, backward#0",
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_what_there_is_instead(node: str, quantity: str, program: str | None, says: str) -> None:
    with pytest.raises(UnknownNameError) as refusal:
        find(KEYS, node, quantity, program)
    assert str(refusal.value) == says


def test_the_closest_name_is_sought_among_the_distinct_ones_only() -> None:
    keys = {RowKey(f"layer{i}", f"backward#{j}", "activation"): 1 for i in range(3000) for j in range(2)}
    with pytest.raises(UnknownNameError, match="did you mean 'layer7'"):
        find(keys, "layer7 ", "activation", None)
