from __future__ import annotations

import copy
import gc
import pickle
import weakref

import torch
from torch import nn

from lightning_callbacks.hooking import Hook


class _Owner:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def called(self, name: str, module: nn.Module, args: object, output: object) -> None:
        self.seen.append(name)


def test_a_hook_calls_as_long_as_its_owner_lives() -> None:
    owner, net = _Owner(), nn.Linear(2, 2)
    net.register_forward_hook(Hook(owner.called, "first"))
    net(torch.zeros(2))
    assert owner.seen == ["first"]
    reference = weakref.ref(owner)
    del owner
    gc.collect()
    assert reference() is None
    net(torch.zeros(2))


def test_a_copy_is_not_hooked() -> None:
    owner, net = _Owner(), nn.Linear(2, 2)
    net.register_forward_hook(Hook(owner.called, "first"))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        twin(torch.zeros(2))
    assert owner.seen == []
