"""Opens a cache engine by its URL."""

from __future__ import annotations

from contextlib import AsyncExitStack

from matinee.drivers.cache.client import CacheClient, CacheMetrics
from matinee.drivers.cache.engine import CacheEngine
from matinee.drivers.cache.memory import MemoryCache
from matinee.kit import url as urls
from matinee.kit.clock import Clock


async def open_cache_client(
    url: str, *, stack: AsyncExitStack, metrics: CacheMetrics, clock: Clock, timeout_ms: int = 50
) -> CacheClient:
    """Open a client of the engine at a URL (`memory://`, `redis://…`, `memcached://…`), which may be unavailable.

    Raises ValueError for an unknown scheme.
    """
    engine = await _open_engine(url, stack, clock, timeout_ms)
    return CacheClient(engine, metrics=metrics, timeout_ms=timeout_ms)


async def _open_engine(url: str, stack: AsyncExitStack, clock: Clock, timeout_ms: int) -> CacheEngine:
    match urls.scheme(url):
        case "memory":
            return MemoryCache(clock=clock)
        case "redis" | "rediss" | "unix":
            from matinee.drivers.cache.redis import RedisCache
            from matinee.drivers.redis import Redis

            return RedisCache(await stack.enter_async_context(Redis(url, lazy=True)))
        case "memcached":
            from matinee.drivers.cache.memcached import MemcachedCache

            # A host that does not answer leaves time to ask the next zone.
            return await stack.enter_async_context(MemcachedCache(url, host_timeout_ms=max(timeout_ms * 2 // 5, 1)))
        case other:
            raise ValueError(f"{other!r} is not a cache engine; use memory, redis or memcached")
