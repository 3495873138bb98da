"""Redis as a cache engine; every operation is one round trip.

The token of a value is its first eight bytes: `codec` starts each write with new random ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matinee.drivers.cache.engine import StoredBytes, Swap, Token
from matinee.drivers.redis import Redis

_TOKEN_BYTES = 8
_SWAP = f"""
local done = {{}}
for i, key in ipairs(KEYS) do
  local expected, value, ttl = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if redis.call('GETRANGE', key, 0, {_TOKEN_BYTES - 1}) == expected then
    redis.call('SET', key, value, 'PX', ttl)
    done[#done + 1] = i
  end
end
return done
"""


class RedisCache:
    """Values in one Redis database, under its prefix."""

    is_shared = True
    max_value_bytes = 8 << 20

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._swap = redis.script(_SWAP)

    @property
    def engine(self) -> str:
        return self._redis.engine

    async def get_many(self, keys: Sequence[str]) -> dict[str, StoredBytes]:
        async with self._redis.operation() as client:
            values: list[Any] = await client.mget([self._redis.key(key) for key in keys])
        return {
            key: StoredBytes(value, value[:_TOKEN_BYTES])
            for key, value in zip(keys, values, strict=True)
            if value is not None
        }

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        keys = [self._redis.key(swap.key) for swap in swaps]
        args: list[Any] = [part for swap in swaps for part in (swap.expected or b"", swap.value, swap.ttl_ms)]
        async with self._redis.operation():
            done = await self._swap(keys=keys, args=args)
        return {swaps[number - 1].key: swaps[number - 1].value[:_TOKEN_BYTES] for number in done}

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token]
    ) -> dict[str, Token]:
        async with self._redis.operation() as client, client.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(self._redis.key(key), value, px=ttl_ms)
            await pipeline.execute()
        return {}

    async def check(self) -> None:
        await self._redis.check()
