from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from dgm_tb.errors import UsageError
from dgm_tb.records import QUANTITIES
from lightning_callbacks import Group, model, options
from tests.callbacks.networks import Cnn, Gru, Residual, Transformer


def _survey(net: nn.Module, **changed: Any) -> model.Model:
    return model.survey(net, options.parse(**changed))


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
    with pytest.raises(UsageError, match=rf"{argument}='xyz' matches no module path; paths look like: stem"):
        _survey(Cnn(), **{argument: "xyz"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"unit_axis": {"sten": 1}},
        {"calls": {"sten": 3}},
        {"roles": {"sten": "logits"}},
        {"groups": {"sten": Group(every_n_steps=7)}},
    ],
)
def test_a_name_that_is_not_there_is_told_what_is_near(arguments: dict[str, Any]) -> None:
    (argument,) = arguments
    with pytest.raises(UsageError, match=rf"{argument}='sten' matches no module path; did you mean 'stem'\?"):
        _survey(Cnn(), **arguments)


def test_a_module_type_is_as_good_as_a_pattern() -> None:
    found = _survey(Cnn(), include=Residual, exclude=[nn.BatchNorm2d, "head"], unit_axis={nn.AdaptiveAvgPool2d: 1})
    assert list(found.modules) == [
        "stem", "blocks.0", "blocks.0.conv", "blocks.0.act", "blocks.1", "blocks.1.conv", "blocks.1.act", "pool",
    ]  # fmt: skip
    assert found.axes["pool"] == 1
    assert not any(path.startswith("blocks.") for path in _survey(Cnn(), exclude=Residual).modules)


def test_the_first_group_that_names_a_module_says_what_is_recorded_of_it() -> None:
    groups = {"norm": Group(every_n_steps=70), Residual: Group(quantities=["activation"]), "conv": Group(500)}
    found = _survey(Cnn(), groups=groups)
    assert {path: share.every_n_steps for path, share in found.shares.items() if share.every_n_steps != 50} == {
        "blocks.0.norm": 70,
        "blocks.1.norm": 70,
    }
    assert found.shares["blocks.0.conv"].quantities == {"activation"}
    assert found.due([70]) == {f"blocks.{k}.norm": frozenset(QUANTITIES) for k in (0, 1)}
    assert set(found.due([50, 70])) == set(found.modules)
    assert set(found.due([50])) == set(found.modules) - set(found.due([70]))
    assert found.of_weights()["blocks.0.conv"] == frozenset()
    assert found.of_weights()["stem"] == {"weight", "weight_gradient", "update"}


def test_calls_that_are_kept_apart() -> None:
    assert _survey(Gru(), calls={r"cell\.": 7, nn.Linear: 3}).calls == {"cell.gates": 7, "cell.new": 7, "head": 3}


def test_a_whole_path_names_one_module_and_else_roles_are_patterns() -> None:
    net = nn.ModuleDict({"fc": nn.Linear(2, 2), "fc_mean": nn.Linear(2, 2), "fc_logvar": nn.Linear(2, 2)})
    assert _survey(net, roles={"fc": "latent", "^fc_m": "mean"}).roles == {"fc": "latent", "fc_mean": "mean"}
    with pytest.raises(UsageError, match="roles='fc_logvr' matches no module path; did you mean 'fc_logvar'"):
        _survey(net, roles={"fc_logvr": "logvar"})


@pytest.mark.parametrize(
    ("name", "path", "call"),
    [("a.b", "a.b", ""), ("a.b#2", "a.b", "#2"), ("a.b#2[0]", "a.b", "#2"), ("a.b[x]", "a.b", ""), ("a.w", "a", "")],
)
def test_the_call_in_a_nodes_name(name: str, path: str, call: str) -> None:
    assert model.call_of(name, path) == call


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
