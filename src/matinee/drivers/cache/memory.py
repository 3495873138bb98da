"""A cache engine in this process: a dictionary of limited size that evicts the least recently used value."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from matinee.kit.clock import Clock, to_ms

_OVERHEAD_BYTES = 200


class _Item(NamedTuple):
    value: bytes
    expires_ms: int


class MemoryCache:
    """Keys and values of at most `max_bytes`."""

    def __init__(self, *, clock: Clock, max_bytes: int = 64 << 20) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._size_bytes = 0
        self.max_value_bytes = max_bytes // 8

    @property
    def engine(self) -> str:
        return "memory"

    async def get(self, key: str) -> bytes | None:
        item = self._items.get(key)
        if item is None:
            return None
        if item.expires_ms <= to_ms(self._clock.now()):
            self._remove(key)
            return None
        self._items.move_to_end(key)
        return item.value

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        self._remove(key)
        self._items[key] = _Item(value, to_ms(self._clock.now()) + ttl_ms)
        self._size_bytes += _size_bytes(key, value)
        while self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._items)))

    async def check(self) -> None:
        return

    def _remove(self, key: str) -> None:
        if (item := self._items.pop(key, None)) is not None:
            self._size_bytes -= _size_bytes(key, item.value)


def _size_bytes(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES
