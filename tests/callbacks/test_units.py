from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dgm_tb.moments import COUNT, MEAN
from lightning_callbacks import units


@pytest.mark.parametrize(
    ("module", "shape", "count"),
    [
        (nn.Linear(3, 5), (2, 4, 3), 5),
        (nn.Conv1d(3, 5, 1), (2, 3, 7), 5),
        (nn.Conv2d(3, 5, 1), (2, 3, 4, 4), 5),
        (nn.Conv2d(3, 5, 1), (3, 4, 4), 5),
        (nn.Conv3d(3, 5, 1), (2, 3, 2, 2, 2), 5),
        (nn.ConvTranspose2d(3, 5, 2), (2, 3, 4, 4), 5),
        (nn.BatchNorm1d(4), (3, 4), 4),
        (nn.BatchNorm1d(4), (3, 4, 6), 4),
        (nn.GroupNorm(2, 4), (3, 4, 6, 6), 4),
        (nn.InstanceNorm2d(4), (3, 4, 6, 6), 4),
        (nn.LayerNorm(6), (3, 4, 6), 6),
        (nn.LayerNorm([4, 5, 6]), (3, 4, 5, 6), 4),
        (nn.MaxPool2d(2), (2, 3, 4, 4), 3),
        (nn.Flatten(), (2, 3, 4), 12),
        (nn.GRUCell(3, 5), (2, 3), 5),
        (nn.PixelShuffle(2), (2, 8, 4, 4), 2),
        (nn.RMSNorm(6), (3, 4, 6), 6),
    ],
)
def test_the_output_axis_of_a_type(module: nn.Module, shape: tuple[int, ...], count: int) -> None:
    axis = units.output_axis(module)
    assert axis is not None
    assert module(torch.randn(shape)).shape[axis] == count


def test_a_subclass_inherits_and_an_unknown_type_has_no_axis() -> None:
    class Mine(nn.Linear):
        pass

    assert units.output_axis(Mine(2, 2)) == -1
    assert units.output_axis(nn.ReLU()) is None


@dataclass
class Output:
    mean: Tensor
    more: tuple[Tensor, ...]


def test_nested_outputs_are_walked() -> None:
    x = torch.zeros(1)
    assert [path for path, _ in units.tensors(x)] == [""]
    assert [path for path, _ in units.tensors((x, None, [x]))] == ["[0]", "[2][0]"]
    assert [path for path, _ in units.tensors(OrderedDict(logits=x, n=3))] == ["[logits]"]
    assert [path for path, _ in units.tensors(Output(x, (x,)))] == ["[mean]", "[more][0]"]


def _weights(module: nn.Module) -> dict[str, units.Weight]:
    named = {path or "root": m for path, m in module.named_modules() if "parametrizations" not in path.split(".")}
    return {w.node: w for w in units.weights(named)}


def _incoming(weight: Tensor, unit_of: Tensor) -> list[float]:
    """The mean over all numbers of a weight that ``unit_of`` gives to each unit."""
    return [float(weight[unit_of == u].double().mean()) for u in range(int(unit_of.max()) + 1)]


@pytest.mark.parametrize(
    ("module", "name", "unit"),
    [
        (nn.Linear(3, 5), "weight", lambda i: i[0]),
        (nn.Conv2d(4, 6, 3, groups=2), "weight", lambda i: i[0]),
        (nn.ConvTranspose2d(4, 6, 3), "weight", lambda i: i[1]),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), "weight", lambda i: i[1] + 3 * (i[0] // 2)),
        (nn.Embedding(7, 4), "weight", lambda i: i[1]),
        (nn.LSTMCell(3, 5), "weight_ih", lambda i: i[0] % 5),
        (nn.GRUCell(3, 5), "weight_hh", lambda i: i[0] % 5),
        (nn.MultiheadAttention(4, 2), "in_proj_weight", lambda i: i[0] % 4),
        (nn.LayerNorm(5), "weight", lambda i: i[0]),
        (nn.Bilinear(2, 3, 4), "weight", lambda i: i[0]),
    ],
)
def test_the_units_of_a_weight(module: nn.Module, name: str, unit: object) -> None:
    parameter = dict(module.named_parameters())[name]
    nn.init.normal_(parameter)
    weight = next(w for w in units.weights({"m": module}) if w.parameter is parameter)
    row = weight.rule.reduce(parameter.detach())
    unit_of = unit(torch.meshgrid(*map(torch.arange, parameter.shape), indexing="ij"))  # type: ignore[operator]
    np.testing.assert_allclose(row[MEAN].numpy(), _incoming(parameter.detach(), unit_of), rtol=1e-4, atol=1e-6)
    assert int(row[COUNT].sum()) == parameter.numel()
    assert weight.units == row.shape[1]


def test_a_tied_weight_is_recorded_once_under_its_first_module() -> None:
    net = nn.ModuleDict({"embed": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
    net["head"].weight = net["embed"].weight
    assert list(_weights(net)) == ["embed"]


def test_biases_count_only_where_there_is_no_weight() -> None:
    assert [w.parameter.ndim for w in units.weights({"m": nn.Linear(3, 5)})] == [2]

    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

    assert [w.units for w in units.weights({"m": Shift()})] == [3]


def test_a_parametrized_weight_is_what_is_trained() -> None:
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(3, 5))
    assert units.leaf(linear)
    found = _weights(nn.Sequential(linear))
    assert {w.node for w in found.values()} == {"0"}
    assert {tuple(w.parameter.shape) for w in units.weights({"m": linear})} == {(5, 1), (5, 3)}


def test_parameters_of_other_sizes_and_of_containers_have_their_own_names() -> None:
    class Own(nn.Module):
        def __init__(self, child: bool) -> None:
            super().__init__()
            self.large = nn.Parameter(torch.zeros(4, 6))
            self.small = nn.Parameter(torch.zeros(3, 2))
            if child:
                self.child = nn.ReLU()

    assert [w.node for w in units.weights({"m": Own(False)})] == ["m", "m.small"]
    assert [w.node for w in units.weights({"m": Own(True)})] == ["m.large", "m.small"]


@pytest.mark.parametrize("module", [nn.Conv2d(8, 1, 3), nn.Conv1d(4, 1, 5), nn.ConvTranspose2d(1, 3, 4)], ids=str)
def test_a_dimension_of_one_makes_no_position_embedding_of_a_kernel(module: nn.Module) -> None:
    (weight,) = units.weights({"0": module})
    assert weight.units == module.out_channels


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.complex(torch.ones(2, 3), torch.ones(2, 3)),
        torch.ones(2, 3, device="meta"),
        torch.tensor(1.0),
        torch.ones(2, 3, dtype=torch.int64),
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    ],
    ids=["sparse", "complex", "meta", "scalar", "integer", "nested"],
)
def test_what_cannot_be_read_has_no_units(tensor: Tensor) -> None:
    assert not units.has_units(tensor)
    assert all(isinstance(size, int) for size in units.shape(tensor))


def test_a_position_embedding_has_features_as_units() -> None:
    class Position(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 5, 8))

    assert [w.units for w in units.weights({"m": Position()})] == [8]


def test_every_weight_of_an_lstm_merges_into_its_hidden_units() -> None:
    found = units.weights({"rnn": nn.LSTM(3, 5, num_layers=2)})
    assert {w.node for w in found} == {"rnn"}
    assert {w.units for w in found} == {5}
    assert len(found) == 4
