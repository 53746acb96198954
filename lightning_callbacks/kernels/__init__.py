"""The fused passes over tensors on the CPU: all statistics of every unit, compiled by numba.

``out`` is float32 ``(statistics, units)`` and filled; a cube is contiguous ``(outer, units, inner)``.
"""

from lightning_callbacks.kernels.tensor import in_columns, reduce
from lightning_callbacks.kernels.weight import change_of, keep

__all__ = ["change_of", "in_columns", "keep", "reduce"]
