from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dgm_tb.errors import UsageError
from dgm_tb.records import QUANTITIES
from lightning_callbacks import model, options
from tests.callbacks.networks import Cnn, Transformer


def _survey(net: nn.Module, **changed: Any) -> model.Model:
    arguments: dict[str, Any] = {
        "every_n_steps": 1,
        "quantities": QUANTITIES,
        "include": None,
        "exclude": None,
        "unit_axis": None,
    }
    return model.survey(net, options.parse(**(arguments | changed)))


def test_leaf_modules_are_recorded() -> None:
    assert list(_survey(Cnn()).modules)[:4] == ["stem", "blocks.0.conv", "blocks.0.norm", "blocks.0.act"]


def test_attention_is_one_node_and_its_projection_has_a_weight() -> None:
    found = _survey(Transformer())
    assert "layers.layers.0.self_attn" in found.modules
    assert "layers.layers.0.self_attn.out_proj" in {weight.node for weight in found.weights}
    assert found.group("layers.layers.0.self_attn.out_proj") == "layers.layers.0"


def test_include_adds_and_exclude_removes() -> None:
    found = _survey(Cnn(), include=r"^blocks\.0$", exclude=["norm", "head"])
    assert "blocks.0" in found.modules
    assert not any("norm" in path or path == "head" for path in found.modules)
    assert not any("norm" in weight.node or weight.node == "head" for weight in found.weights)


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_an_error(argument: str) -> None:
    with pytest.raises(UsageError, match=rf"{argument}='encodr' matches no module path; paths look like: stem"):
        _survey(Cnn(), **{argument: "encodr"})


def test_excluding_everything_is_an_error() -> None:
    with pytest.raises(UsageError, match="leaves no module"):
        _survey(Cnn(), exclude=".*")


def test_the_unit_axis_of_a_module() -> None:
    found = _survey(Cnn(), unit_axis={"stem": 2})
    assert found.axes["stem"] == 2
    assert found.axes["head"] == -1
    assert found.axes["blocks.0.act"] is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("_orig_mod.encoder.0", "encoder.0"),
        ("net._orig_mod.fc", "net.fc"),
        ("net._orig_mod", "net"),
        ("a._fsdp_wrapped_module.b._checkpoint_wrapped_module.c", "a.b.c"),
        ("my_orig_mod.x", "my_orig_mod.x"),
        ("", ""),
    ],
)
def test_what_wrappers_insert_is_taken_out(path: str, expected: str) -> None:
    assert model.clean(path) == expected


def test_a_wrapped_network_keeps_its_names() -> None:
    assert list(_survey(nn.DataParallel(nn.Sequential(nn.Linear(2, 2)))).modules) == ["0"]


def test_a_single_module_is_named_by_its_type() -> None:
    assert list(_survey(nn.Linear(2, 2)).modules) == ["Linear"]


def test_parameters_of_a_node() -> None:
    found = _survey(Transformer())
    assert found.parameters("head") == 90
    assert found.parameters("layers.layers.0.self_attn") == sum(
        p.numel() for p in found.named["layers.layers.0.self_attn"].parameters()
    )
    assert torch.is_tensor(found.weights[0].parameter)
