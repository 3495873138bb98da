"""The cache next to the code: values as objects in this process, above a `Cache` that all processes share.

Where the engine tells of invalidations a value is kept for `ttl_ms`; while it cannot be heard, and where it tells
nobody, for `deaf_ms`. So another process's invalidation is seen within the time that a message takes, or `deaf_ms`.
Whoever forgets a key here sees it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from matinee.drivers.cache.cache import Cache, LoadMany
from matinee.drivers.cache.engine import Tells
from matinee.kit import log

V = TypeVar("V")
_OVERHEAD_BYTES = 500
_AGAIN_S = 0.5
_log = log.get()


class _Near(NamedTuple):
    value: object
    size_bytes: int
    at_s: float


class NearCache(Generic[V]):
    """At most `limit_bytes` of values above a cache. Use as `async with NearCache(cache) as near:`."""

    def __init__(
        self,
        cache: Cache[V],
        *,
        limit_bytes: int = 16 << 20,
        ttl_ms: int = 30_000,
        deaf_ms: int = 500,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._limit_bytes = limit_bytes
        self._ttl_s = {True: ttl_ms / 1000, False: deaf_ms / 1000}
        self._now_s = now_s
        self._kept: OrderedDict[str, _Near] = OrderedDict()
        self._size_bytes = 0
        # Rises with all that was forgotten: what was asked for before that is not kept.
        self._forgotten = 0
        self._hears = False
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> NearCache[V]:
        if (engine := self._cache.guard.tells) is not None:
            self._listener = asyncio.create_task(self._listen(engine))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    @property
    def hears(self) -> bool:
        """Whether other processes' invalidations are heard."""
        return self._hears

    async def get(self, key: str, load: Callable[[], Awaitable[V | None]]) -> V | None:
        """A value: from here, from the cache, or loaded."""
        if (near := self._find(key)) is not None:
            return near.value  # type: ignore[return-value]
        forgotten = self._forgotten
        value = await self._cache.get(key, load)
        self._keep({} if value is None else {key: value}, forgotten)
        return value

    async def get_many(self, keys: Iterable[str], load_many: LoadMany[V]) -> dict[str, V]:
        """Those of the values that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, V] = {key: near.value for key in wanted if (near := self._find(key))}  # type: ignore[misc]
        if missing := [key for key in wanted if key not in found]:
            forgotten = self._forgotten
            got = await self._cache.get_many(missing, load_many)
            self._keep(got, forgotten)
            found |= got
        return found

    async def invalidate(self, *keys: str) -> bool:
        """As `Cache.invalidate`."""
        self._forget(keys)
        try:
            return await self._cache.invalidate(*keys)
        finally:
            self._forget(keys)

    async def bump(self) -> bool:
        """As `Cache.bump`."""
        self._forget([])
        try:
            return await self._cache.bump()
        finally:
            self._forget([])

    def _find(self, key: str) -> _Near | None:
        near = self._kept.get(key)
        if near is None:
            return None
        if self._now_s() - near.at_s >= self._ttl_s[self._hears]:
            self._drop(key)
            return None
        self._cache.guard.figures.keys(self._cache.name, "near")
        self._kept.move_to_end(key)
        return near

    def _keep(self, values: Mapping[str, V], forgotten: int) -> None:
        if forgotten != self._forgotten:
            return
        for key, value in values.items():
            size_bytes = len(msgspec.msgpack.encode(value)) + len(key) + _OVERHEAD_BYTES
            self._drop(key)
            self._kept[key] = _Near(value, size_bytes, self._now_s())
            self._size_bytes += size_bytes
        while self._size_bytes > self._limit_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        if (near := self._kept.pop(key, None)) is not None:
            self._size_bytes -= near.size_bytes

    def _forget(self, keys: Iterable[str]) -> None:
        """Forget some keys; all, where none is named."""
        self._forgotten += 1
        for key in list(keys) or list(self._kept):
            self._drop(key)

    async def _listen(self, engine: Tells) -> None:
        while True:
            try:
                async with engine.hear(self._cache.name) as told:
                    self._forget([])  # what was told while nobody listened
                    self._hears = True
                    async for keys in told:
                        self._forget(keys)
            except Exception as error:
                _log.warning("cache.deaf", cache=self._cache.name, error=str(error))
            finally:
                self._hears = False
                self._forget([])
            await asyncio.sleep(_AGAIN_S)
