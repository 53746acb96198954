from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from lightning_callbacks import arguments

aten = torch.ops.aten
X, Y = torch.zeros(2), torch.ones(2)


def _number(tensor: torch.Tensor) -> int:
    return 7 if tensor is X else 8


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        (X, {"value": 7}),
        ([X, None, (Y, 2)], [{"value": 7}, None, [{"value": 8}, 2]]),
        (float("inf"), {"float": "inf"}),
        (1 + 2j, {"complex": [1.0, 2.0]}),
        (torch.float64, {"dtype": "float64"}),
        (torch.strided, {"layout": "strided"}),
        (torch.channels_last, {"memory_format": "channels_last"}),
        (torch.device("cuda", 3), {"device": "cpu"}),
        ({"mean": True, "mode": "x"}, {"mean": True, "mode": "x"}),
        (torch.Generator(), None),
        (object(), None),
    ],
)
def test_each_kind_of_argument_is_data(argument: Any, written: Any) -> None:
    assert arguments.encode(argument, _number) == written
    json.dumps(written)


def test_what_no_tape_has_a_word_for_is_named() -> None:
    assert arguments.strange(arguments.leaves(([X, 1.0, "a"], {"b": torch.float32}))) == ""
    assert arguments.strange(arguments.leaves(([X, object()], {}))) == "object"


def test_leaves_keep_their_order() -> None:
    assert list(arguments.leaves(([X, (1, [])], {"a": None, "b": [Y]}))) == [X, 1, None, Y]
    assert arguments.tensors([X, 1, (Y,)]) == [X, Y]


@pytest.mark.parametrize(
    ("op", "args", "kwargs", "written"),
    [
        (aten.add.Tensor, [X, Y], {}, []),
        (aten.add_.Tensor, [X, Y], {}, [X]),
        (aten.mul.out, [X, Y], {"out": Y}, [Y]),
        (aten._foreach_add_.Scalar, [[X, Y], 1], {}, [[X, Y]]),
    ],
)
def test_what_an_op_writes(op: Any, args: Any, kwargs: Any, written: Any) -> None:
    found = arguments.written(op, args, kwargs)
    assert [id(t) for t in arguments.tensors(found)] == [id(t) for t in arguments.tensors(written)]


def test_attention_without_dropout_draws_nothing() -> None:
    attention = aten._scaled_dot_product_flash_attention.default
    assert not arguments.draws(attention, [X, X, X], {})
    assert not arguments.draws(attention, [X, X, X, 0.0], {})
    assert arguments.draws(attention, [X, X, X, 0.1], {})
    assert arguments.draws(attention, [X, X, X], {"dropout_p": 0.1})
    assert arguments.draws(aten.bernoulli.default, [X], {})
    assert not arguments.draws(aten.exp.default, [X], {})
