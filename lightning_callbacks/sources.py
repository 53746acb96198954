"""What a recorded step reads and does not make: names, and the numbers as they were when they were read."""

from __future__ import annotations

import weakref

from torch import Tensor, nn

from dgm_tb.replay.tape import Source
from lightning_callbacks.model import clean
from lightning_callbacks.recorded import UnrecordableError
from lightning_callbacks.values import has_place


class Sources:
    """The sources by value, and their copied ``tensors`` by key: at most ``most`` bytes, else `UnrecordableError`."""

    def __init__(self, root: nn.Module, most: int) -> None:
        self.found: dict[int, Source] = {}
        self.tensors: dict[str, Tensor] = {}
        self._most, self._bytes = most, 0
        self._names: dict[int, tuple[weakref.ref[Tensor], str, str]] = {}  # id of a tensor -> it, its kind and name
        for name, parameter in root.named_parameters():
            self.name(parameter, "parameter", clean(name))
        for name, buffer in root.named_buffers():
            self.name(buffer, "buffer", clean(name))

    def name(self, tensor: Tensor, kind: str, name: str) -> None:
        self._names[id(tensor)] = weakref.ref(tensor), kind, name

    def named(self, tensor: Tensor) -> bool:
        return self._called(tensor) is not None

    def read(self, value: int, tensor: Tensor) -> None:
        """``value`` is ``tensor`` as it is now."""
        if type(tensor) not in (Tensor, nn.Parameter) or not has_place(tensor) or tensor.is_meta:
            raise UnrecordableError(f"the step reads a {type(tensor).__name__} with layout {tensor.layout}")
        kind, name = self._called(tensor) or ("constant", "")
        self._keep(value, kind, name, name or str(value), tensor)

    def drawn(self, value: int, tensor: Tensor) -> None:
        """``value`` is what a random op has drawn."""
        self._keep(value, "random", "", str(value), tensor)

    def clear(self) -> None:
        self.tensors.clear()

    def _called(self, tensor: Tensor) -> tuple[str, str] | None:
        found = self._names.get(id(tensor))
        return None if found is None or found[0]() is not tensor else found[1:]

    def _keep(self, value: int, kind: str, name: str, label: str, tensor: Tensor) -> None:
        self._bytes += tensor.numel() * tensor.element_size()
        if self._bytes > self._most:
            raise UnrecordableError(
                f"weights, batch and constants of a step are more than the {self._most:,} bytes that "
                "max_deep_bytes= and max_disk= leave for one"
            )
        key = f"{kind}.{label}"
        while key in self.tensors:  # read before in another state
            key += "'"
        dtype = str(tensor.dtype).removeprefix("torch.")
        self.found[value] = Source(value, kind, name, key, dtype, tuple(tensor.shape))
        self.tensors[key] = tensor.detach().clone()
