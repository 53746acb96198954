"""The last few results of one question, so that a slider or a refresh does not start from nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values used last, as many as weigh at most ``capacity`` together; safe between threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Key, value: Value, weight: int = 1) -> None:
        """Keeps ``value``; one heavier than the whole capacity is not kept."""
        with self._lock:
            if key in self._values:
                self._weight -= self._values.pop(key)[1]
            self._values[key] = value, weight
            self._weight += weight
            self._shrink(self._capacity)

    def spare(self, weight: int) -> None:
        """Forgets what `put` would for something of this ``weight``, before that is made."""
        with self._lock:
            self._shrink(max(0, self._capacity - weight))

    def _shrink(self, capacity: int) -> None:
        while self._weight > capacity:
            self._weight -= self._values.popitem(last=False)[1][1]
