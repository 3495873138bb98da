"""The engine in this process: a dictionary bounded in bytes, least recently used first out."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matinee.drivers.cache.engine import Held, Swap, Token
from matinee.kit.clock import Clock, to_ms

_OVERHEAD_BYTES = 200


class _Kept(NamedTuple):
    value: bytes
    token: int
    until_ms: int


class MemoryCache:
    """At most `limit_bytes` of keys and values, in this process alone."""

    shared = False

    def __init__(self, *, clock: Clock, limit_bytes: int = 64 << 20) -> None:
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0
        self._tokens = itertools.count(1)
        self.value_limit = limit_bytes // 8

    @property
    def engine(self) -> str:
        """There is only one."""
        return "memory"

    async def get_many(self, keys: Sequence[str]) -> dict[str, Held]:
        found = {key: kept for key in keys if (kept := self._find(key)) is not None}
        return {key: Held(kept.value, kept.token) for key, kept in found.items()}

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        done: dict[str, Token] = {}
        for swap in swaps:
            kept = self._find(swap.key)
            if (None if kept is None else kept.token) == swap.over:
                done[swap.key] = self._keep(swap.key, swap.value, swap.ttl_ms)
        return done

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        for key, value in values.items():
            self._keep(key, value, ttl_ms)

    async def check(self) -> None:
        return

    def _find(self, key: str) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_ms <= to_ms(self._clock.now()):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def _keep(self, key: str, value: bytes, ttl_ms: int) -> Token:
        self._drop(key)
        token = next(self._tokens)
        self._kept[key] = _Kept(value, token, to_ms(self._clock.now()) + ttl_ms)
        self._size_bytes += _size(key, value)
        while self._size_bytes > self._limit_bytes:
            self._drop(next(iter(self._kept)))
        return token

    def _drop(self, key: str) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size_bytes -= _size(key, kept.value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES
