"""A cache engine by its URL."""

from __future__ import annotations

from contextlib import AsyncExitStack

from matinee.drivers.cache.engine import CacheEngine
from matinee.drivers.cache.guard import Figures, Guard
from matinee.drivers.cache.memory import MemoryCache
from matinee.kit import url
from matinee.kit.clock import Clock


async def open_guard(place: str, *, stack: AsyncExitStack, figures: Figures, clock: Clock, limit_ms: int = 50) -> Guard:
    """The engine behind a URL (`memory://`, `redis://…`, `memcached://…`) behind a guard; it may be away.

    Raises ValueError for an engine that is not known.
    """
    engine, settle_ms = await _engine(place, stack, clock, limit_ms)
    return Guard(engine, figures=figures, limit_ms=limit_ms, settle_ms=settle_ms)


async def _engine(place: str, stack: AsyncExitStack, clock: Clock, limit_ms: int) -> tuple[CacheEngine, int]:
    match url.scheme(place):
        case "memory":
            return MemoryCache(clock=clock), 0
        case "redis" | "rediss" | "unix":
            from matinee.drivers.cache.redis import RedisCache
            from matinee.drivers.redis import Redis

            return RedisCache(await stack.enter_async_context(Redis(place, lazy=True))), 0
        case "memcached":
            from matinee.drivers.cache.memcached import MemcachedCache

            # One that does not answer leaves time for the next zone's.
            ring = MemcachedCache(place, clock=clock, limit_ms=max(limit_ms * 2 // 5, 1))
            return await stack.enter_async_context(ring), ring.settle_ms
        case other:
            raise ValueError(f"there is no cache for {other!r}; memory, redis and memcached are known")
