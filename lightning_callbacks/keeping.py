"""The copy of a weight that is made before an optimizer's step, to tell the change after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_callbacks import moments, sharded
from lightning_callbacks.units import Weight


@dataclass(frozen=True, slots=True)
class Kept:
    """Room for a copy of a weight, filled anew at every capture.

    ``place`` and ``arrays``, where one pass can read weight and copy: where the weight lies, and both as
    ``(units, inner)``. As long as it lies there they are read as they are, since making them costs as much as reading a
    small weight does.
    """

    copy: Tensor
    place: tuple[object, ...] | None
    arrays: tuple[NDArray[np.floating], NDArray[np.floating]] | None

    def keep(self, weight: Weight, read: bool) -> Tensor | None:
        """Copies the weight as it is now; its moments where they are to be ``read``."""
        if not read:
            self.copy.copy_(_cube(weight))
            return None
        if self.arrays is not None and self.place == _place(weight.parameter):
            return moments.keep(*self.arrays)
        return moments.reduce_keeping(_cube(weight), self.copy)

    def change(self, weight: Weight) -> Tensor:
        """The moments of the weight as it is now less the copy."""
        if self.arrays is not None and self.place == _place(weight.parameter):
            return moments.change(*self.arrays)
        return moments.reduce_change(_cube(weight), self.copy)


def room(weight: Weight, known: Kept | None) -> Kept:
    """``known`` where it still fits the weight."""
    if known is not None and known.place is not None and known.place == _place(weight.parameter):
        return known
    cube = _cube(weight)
    copy = known.copy if known is not None else None
    if copy is None or copy.shape != cube.shape or copy.dtype != cube.dtype or copy.device != cube.device:
        copy = torch.empty_like(cube, memory_format=torch.contiguous_format)
    place = _place(weight.parameter)
    if place is None or place[0] != cube.data_ptr() or not moments.one_run_a_unit(cube):
        return Kept(copy, None, None)
    return Kept(copy, place, (cube.numpy()[0], copy.numpy()[0]))


def _cube(weight: Weight) -> Tensor:
    return weight.rule.cube(weight.parameter.detach())


def _place(parameter: Tensor) -> tuple[object, ...] | None:
    """None where the parameter's memory is not its own to tell: a part of it lies elsewhere."""
    if not sharded.readable(parameter) or parameter.layout is not torch.strided:
        return None
    return parameter.data_ptr(), parameter.dtype, parameter.shape, parameter.stride()
