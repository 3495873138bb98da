"""A cache engine in this process: a dictionary of limited size that evicts the least recently used entry."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matinee.drivers.cache.engine import StoredBytes, Swap, Token
from matinee.kit.clock import Clock, to_ms

_OVERHEAD_BYTES = 200


class _Item(NamedTuple):
    value: bytes
    token: int
    expires_ms: int


class MemoryCache:
    """Keys and values of at most `max_bytes`."""

    is_shared = False

    def __init__(self, *, clock: Clock, max_bytes: int = 64 << 20) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._size_bytes = 0
        self._tokens = itertools.count(1)
        self.max_value_bytes = max_bytes // 8

    @property
    def engine(self) -> str:
        return "memory"

    async def get_many(self, keys: Sequence[str]) -> dict[str, StoredBytes]:
        return {key: StoredBytes(item.value, item.token) for key in keys if (item := self._get(key)) is not None}

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        done: dict[str, Token] = {}
        for swap in swaps:
            item = self._get(swap.key)
            if (None if item is None else item.token) == swap.expected:
                done[swap.key] = self._put(swap.key, swap.value, swap.ttl_ms)
        return done

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token]
    ) -> dict[str, Token]:
        for key, value in values.items():
            self._put(key, value, ttl_ms)
        return {}

    async def check(self) -> None:
        return

    def _get(self, key: str) -> _Item | None:
        item = self._items.get(key)
        if item is None:
            return None
        if item.expires_ms <= to_ms(self._clock.now()):
            self._remove(key)
            return None
        self._items.move_to_end(key)
        return item

    def _put(self, key: str, value: bytes, ttl_ms: int) -> Token:
        self._remove(key)
        token = next(self._tokens)
        self._items[key] = _Item(value, token, to_ms(self._clock.now()) + ttl_ms)
        self._size_bytes += _size_bytes(key, value)
        while self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._items)))
        return token

    def _remove(self, key: str) -> None:
        if (item := self._items.pop(key, None)) is not None:
            self._size_bytes -= _size_bytes(key, item.value)


def _size_bytes(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES
