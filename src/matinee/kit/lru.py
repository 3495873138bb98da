"""A dictionary of limited size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """The `limit` most recently used values."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return a value, None if there is none."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Store a value, in place of another one or of the one that was not used for longest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Remove a value, if there is one."""
        self._values.pop(key, None)

    def drop_where(self, predicate: Callable[[V], bool]) -> None:
        """Remove the values that meet a condition."""
        for key in [key for key, value in self._values.items() if predicate(value)]:
            del self._values[key]

    def clear(self) -> None:
        """Remove all values."""
        self._values.clear()
