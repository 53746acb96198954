from __future__ import annotations

import torch
from torch import nn

from lightning_callbacks.gradients import Gradients
from lightning_callbacks.values import Values


def test_gradients_and_what_is_made_of_them() -> None:
    net = nn.Linear(2, 1)
    gradients = Gradients(net.parameters(), Values())
    assert not gradients.touched([net.weight])
    net(torch.ones(3, 2)).sum().backward()
    gradients.told = False
    assert not gradients.touched([net.weight, torch.zeros(3)])
    assert net.weight.grad is not None
    assert gradients.touched([net.weight.grad.view(-1)])
    norm = net.weight.grad.norm()
    assert not gradients.hold(norm)
    gradients.add([norm])
    assert gradients.touched([norm])


def test_new_gradients_are_seen_after_the_next_backward_pass() -> None:
    net = nn.Linear(2, 1)
    gradients = Gradients(net.parameters(), Values())
    for _ in range(3):
        net.zero_grad()
        net(torch.ones(3, 2)).sum().backward()
        gradients.told = False
        assert net.weight.grad is not None
        assert gradients.touched([net.weight.grad])
