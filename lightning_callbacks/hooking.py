"""Hooks on a user's modules: a copy of the module must not be hooked, nor keep anything of ours alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


class Hook:
    """Calls ``method(*first, ...)`` as long as its object lives.

    Whoever copies or pickles a module while it is hooked, such as an average of its weights made in a captured step,
    has its hooks copied too: of this one becomes one that does nothing.
    """

    def __init__(self, method: Callable[..., None], *first: Any) -> None:
        self._method, self._first = WeakMethod(method), first

    def __call__(self, *args: Any) -> None:
        method = self._method()
        if method is not None:
            method(*self._first, *args)

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _copied, ()


def nothing(*args: Any) -> None:
    """What hangs on a copy."""


def _copied() -> Callable[..., None]:
    return nothing
