"""Which value of a recorded step a tensor is, and in which memory it lies."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.utils.weak import WeakIdRef

from lightning_callbacks import units


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor as a part of its memory, which its views share; ``whole``: nothing else lies there."""

    memory: int
    whole: bool
    shape: tuple[int, ...]


class Values:
    """The values seen so far, by number. It keeps no tensor alive, and no address of a storage is given out again."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._tensors: list[weakref.ref[Tensor]] = []
        self._numbers: dict[int, int] = {}  # id of a tensor -> its value, if it still is that tensor
        self._places: dict[tuple[object, ...], int] = {}  # where a value lies -> the first value that lay there
        self._versions: dict[int, int] = {}  # source -> the tensor's version when it was read or last written by an op
        self._detached: dict[int, int] = {}  # what autograd's own `detach` made -> of what
        self._memories: dict[int, int] = {}  # address of a storage -> its number
        self._bare: dict[WeakIdRef, int] = {}  # a tensor without a storage -> its number
        self._storages: list[StorageWeakRef] = []  # as long as these live the addresses are not used again
        self._count = 0  # of memories

    def known(self, tensor: Tensor) -> int | None:
        """The value of this very object."""
        found = self._numbers.get(id(tensor))
        return found if found is not None and self._tensors[found]() is tensor else None

    def lying_there(self, tensor: Tensor) -> int | None:
        """The first value that lay where ``tensor`` lies: autograd hands out new objects for what it saved."""
        return self._places.get(_place(tensor))

    def meant(self, value: int, tensor: Tensor) -> int | None:
        """What reading ``tensor``, which is ``value``, reads; None where it was changed from outside since."""
        if self._versions.get(value, tensor._version) != tensor._version:
            return None
        if tensor.grad_fn is not None:  # what autograd saved of an op's own output is, to it, that output
            while value in self._detached:
                value = self._detached[value]
        return value

    def add(self, tensor: Tensor, *, findable: bool = True) -> int:
        """A new value; its number is found again unless it is not ``findable``."""
        value = len(self.parts)
        self.parts.append(self.part(tensor))
        self._tensors.append(weakref.ref(tensor))
        if findable:
            self._numbers[id(tensor)] = value
            if has_place(tensor):
                self._places.setdefault(_place(tensor), value)
        return value

    def copy(self, tensor: Tensor) -> int:
        """A new value in memory of its own."""
        self._tensors.append(weakref.ref(tensor))
        self.parts.append(Part(self._new(), True, tuple(tensor.shape)))
        return len(self.parts) - 1

    def forget(self, tensor: Tensor) -> None:
        """What ``tensor`` holds is none of the values any more."""
        self._numbers.pop(id(tensor), None)
        if has_place(tensor):
            self._places.pop(_place(tensor), None)

    def came(self, value: int, tensor: Tensor) -> None:
        """``value`` is a source: as it is now."""
        self._versions[value] = tensor._version

    def wrote(self, value: int, tensor: Tensor) -> None:
        """An op changed ``value``."""
        if value in self._versions:
            self._versions[value] = tensor._version

    def detached(self, made: int, of: int) -> None:
        self._detached[made] = of

    def part(self, tensor: Tensor) -> Part:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse and nested tensors have none
            key = WeakIdRef(tensor)
            if key not in self._bare:
                self._bare[key] = self._new()
            return Part(self._bare[key], True, units.shape(tensor))
        address = int(storage._cdata)
        if address not in self._memories:
            self._memories[address] = self._new()
            self._storages.append(StorageWeakRef(storage))
        whole = tensor.numel() * tensor.element_size() >= storage.nbytes()
        return Part(self._memories[address], whole, units.shape(tensor))

    def _new(self) -> int:
        self._count += 1
        return self._count - 1


def has_place(tensor: Tensor) -> bool:
    """Whether it lies in memory as strides say; not so within `torch.vmap`, where one tensor stands for many."""
    many = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return tensor.layout is torch.strided and not tensor.is_nested and not many and not is_lazy(tensor)


def _place(tensor: Tensor) -> tuple[object, ...]:
    storage = int(tensor.untyped_storage()._cdata)
    return storage, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype
