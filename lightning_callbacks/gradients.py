"""The gradients of parameters, and what is made of them: clipping, unscaling, zeroing are no part of the program."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from torch import Tensor, nn

from lightning_callbacks.values import Values


class Gradients:
    """In which memory gradients lie, and what was made of them; ``told``: no backward pass ran since we looked."""

    def __init__(self, parameters: Iterable[nn.Parameter], values: Values) -> None:
        self._parameters, self._values = list(parameters), values
        self._seen: dict[int, weakref.ref[Tensor]] = {}
        self._memories: set[int] = set()
        self.told = False

    def touched(self, tensors: Iterable[Tensor]) -> bool:
        """Whether one of ``tensors`` lies there."""
        if not self.told:  # for every op it would be dear: thousands of ops, hundreds of parameters
            self._look()
            self.told = True
        return bool(self._memories) and any(self.hold(tensor) for tensor in tensors)

    def hold(self, tensor: Tensor) -> bool:
        return self._values.part(tensor).memory in self._memories

    def add(self, tensors: Iterable[Tensor]) -> None:
        self._memories.update(self._values.part(tensor).memory for tensor in tensors)

    def _look(self) -> None:
        for parameter in self._parameters:
            gradient = parameter.grad
            if gradient is not None and ((seen := self._seen.get(id(gradient))) is None or seen() is not gradient):
                self._seen[id(gradient)] = weakref.ref(gradient)
                self.add([gradient])
