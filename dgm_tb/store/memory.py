"""Memory that a large answer needs for a moment goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

#: ``M_MMAP_THRESHOLD`` of glibc's malloc.h.
_MMAP_THRESHOLD: Final = -3
#: Arrays from so many bytes on are the system's again when they are freed.
_LARGE: Final = 1 << 21


def give_back_large() -> bool:
    """Has large arrays allocated apart from small ones, for this process; False where the C library knows no such.

    Otherwise glibc keeps what was freed, up to 32 MB each, for every thread that ever answered a question: after a few
    about a million-unit layer TensorBoard would have 150 MB more, for ever.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, _LARGE))
