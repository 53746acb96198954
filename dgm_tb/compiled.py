"""How hot loops are compiled: one decorator with the options that every kernel of this project shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

# nogil: TensorBoard's server and the recorder's writer call kernels from threads of their own.
# Not parallel=True: numba's "workqueue" layer, the only one sure to be there, aborts the process when two threads
# launch parallel kernels at once; and one thread a request is what a threaded server wants.
# error_model="numpy": x / 0 is inf or NaN, as in the array code beside the kernels.
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` compiled by numba at its first call; it runs without the GIL and starts no threads.

    The machine code is kept on disk for later processes. Where neither the package's directory nor the user's cache
    directory can be written, each process compiles anew.
    """
    try:
        kernel = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba: "cannot cache function ...: no locator available"
        kernel = numba.njit(**_OPTIONS)(function)
    return cast("Callable[P, R]", kernel)
