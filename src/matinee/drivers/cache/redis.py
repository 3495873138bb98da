"""Redis as a cache engine."""

from __future__ import annotations

from typing import cast

from matinee.drivers.redis import Redis


class RedisCache:
    """Values in one Redis database, under its prefix."""

    max_value_bytes = 8 << 20

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def engine(self) -> str:
        return self._redis.engine

    async def get(self, key: str) -> bytes | None:
        async with self._redis.operation() as client:
            return cast("bytes | None", await client.get(self._redis.key(key)))

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        async with self._redis.operation() as client:
            await client.set(self._redis.key(key), value, px=ttl_ms)

    async def check(self) -> None:
        await self._redis.check()
