"""Redis as a cache engine: one round trip each, invalidations told by publish and subscribe.

A value is known again by its first eight bytes, which `record` makes new with every write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from redis.asyncio.client import PubSub

from matinee.drivers.cache.engine import Held, Swap, Token
from matinee.drivers.engine import EngineAway
from matinee.drivers.redis import Redis

_MARK_BYTES = 8
_SWAP = f"""
local done = {{}}
for i, key in ipairs(KEYS) do
  local over, value, ttl = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if redis.call('GETRANGE', key, 0, {_MARK_BYTES - 1}) == over then
    redis.call('SET', key, value, 'PX', ttl)
    done[#done + 1] = i
  end
end
return done
"""
# A subscription that says nothing is asked this often whether it is still there.
_PING_S = 1.0


class RedisCache:
    """Values in one Redis database, under its prefix."""

    shared = True
    value_limit = 8 << 20

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._swap = redis.script(_SWAP)

    @property
    def engine(self) -> str:
        return self._redis.engine

    async def get_many(self, keys: Sequence[str]) -> dict[str, Held]:
        async with self._redis.speaking() as client:
            values: list[Any] = await client.mget([self._redis.key(key) for key in keys])
        return {
            key: Held(value, value[:_MARK_BYTES]) for key, value in zip(keys, values, strict=True) if value is not None
        }

    async def swap_many(self, swaps: Sequence[Swap]) -> dict[str, Token]:
        keys = [self._redis.key(swap.key) for swap in swaps]
        args: list[Any] = [part for swap in swaps for part in (swap.over or b"", swap.value, swap.ttl_ms)]
        async with self._redis.speaking():
            done = await self._swap(keys=keys, args=args)
        return {swaps[place - 1].key: swaps[place - 1].value[:_MARK_BYTES] for place in done}

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        async with self._redis.speaking() as client, client.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                pipeline.set(self._redis.key(key), value, px=ttl_ms)
            await pipeline.execute()

    async def check(self) -> None:
        await self._redis.check()

    async def tell(self, topic: str, keys: Sequence[str]) -> None:
        async with self._redis.speaking() as client:
            await client.publish(self._redis.key(topic), msgspec.msgpack.encode(keys))

    @asynccontextmanager
    async def hear(self, topic: str) -> AsyncIterator[AsyncIterator[Iterable[str]]]:
        subscription = self._redis.client.pubsub()
        try:
            with self._redis.told():
                async with asyncio.timeout(_PING_S):
                    await subscription.subscribe(self._redis.key(topic))
                    await subscription.get_message(timeout=_PING_S)  # that it stands
            yield self._each(subscription)
        finally:
            with suppress(Exception):
                await subscription.aclose()  # type: ignore[no-untyped-call]

    async def _each(self, subscription: PubSub) -> AsyncIterator[Iterable[str]]:
        asked = False
        while True:
            with self._redis.told():
                message = await subscription.get_message(timeout=_PING_S)
                if message is None and not asked:
                    await asyncio.wait_for(subscription.ping(), _PING_S)
            if message is None and asked:
                raise EngineAway(engine="redis", detail=f"{self.engine} said nothing to a listener")
            asked = message is None
            if message is not None and message["type"] == "message":
                yield msgspec.msgpack.decode(message["data"], type=list[str])
