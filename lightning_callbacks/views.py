"""Outputs that are views: changed in place after the call, they hide their gradient from every hook."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def witness(output: Tensor) -> Callable[[], bool] | None:
    """Tells later whether ``output`` has been changed in place since; None where that would hide nothing.

    Autograd then gives the view a new node, and the one that a hook or `torch.autograd.grad` knows is never reached.
    Nothing of the output stays alive: the witness shares its version counter and no memory.
    """
    if type(output) is not Tensor or not output._is_view():
        return None
    shared = output.detach()
    shared.data = output.new_empty(0)  # keeps the counter, gives the memory up
    before = shared._version
    return lambda: shared._version != before
