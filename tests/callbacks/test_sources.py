from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_callbacks.recorded import UnrecordableError
from lightning_callbacks.sources import Sources


def test_names_and_numbers_as_they_were_when_read() -> None:
    net = nn.BatchNorm1d(2)
    sources = Sources(net, 1000)
    x, drawn = torch.ones(3), torch.rand(2)
    sources.name(x, "input", "[0]")
    sources.read(0, net.weight)
    sources.read(1, x)
    x.zero_()
    sources.read(2, x)
    sources.read(3, torch.tensor(5.0))
    sources.drawn(4, drawn)
    assert [(source.kind, source.name, source.key) for source in sources.found.values()] == [
        ("parameter", "weight", "parameter.weight"),
        ("input", "[0]", "input.[0]"),
        ("input", "[0]", "input.[0]'"),
        ("constant", "", "constant.3"),
        ("random", "", "random.4"),
    ]
    assert sources.tensors["input.[0]"].tolist() == [1, 1, 1]
    assert sources.tensors["input.[0]'"].tolist() == [0, 0, 0]
    assert sources.named(net.running_mean)  # type: ignore[arg-type]
    assert not sources.named(drawn)


def test_a_name_is_the_objects_not_the_addresss() -> None:
    sources = Sources(nn.Linear(2, 2), 1000)
    for _ in range(100):
        x = torch.ones(3)
        assert not sources.named(x)
        sources.name(x, "input", "")
        del x


def test_too_many_bytes_and_other_tensors_are_refused() -> None:
    sources = Sources(nn.Linear(2, 2), 20)
    sources.read(0, torch.zeros(4))
    with pytest.raises(UnrecordableError, match="20 bytes that max_deep_bytes="):
        sources.read(1, torch.zeros(2))
    for tensor in (
        torch.eye(1).to_sparse(),
        torch.zeros(1, device="meta"),
        torch.zeros(1).as_subclass(type("Own", (torch.Tensor,), {})),
    ):
        with pytest.raises(UnrecordableError, match="the step reads a"):
            sources.read(2, tensor)
