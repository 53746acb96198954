from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lightning_callbacks import wrappers


def test_wrappers_around_the_model_are_taken_off() -> None:
    net = nn.Linear(2, 2)
    wrapped: Any = torch.compile(nn.DataParallel(net), backend="eager")
    assert wrappers.unwrapped(nn.DataParallel(wrapped)) is net
    assert wrappers.unwrapped(net) is net


def test_wrappers_inside_the_model_are_not_in_its_paths() -> None:
    inner = nn.Sequential(nn.DataParallel(nn.Sequential(nn.Linear(2, 2))), nn.ReLU())
    net = nn.ModuleDict({"generator": nn.DataParallel(inner), "module": nn.Linear(2, 1)})
    found = [path for path, module in wrappers.named_modules(net) if not list(module.children())]
    assert found == ["generator.0.0", "generator.1", "module"]
