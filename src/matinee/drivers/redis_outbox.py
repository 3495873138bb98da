"""The outbox in Redis: facts put on a stream by the script that changes the state, and relayed to the log afterwards.

One stream a namespace. A lease lets one instance relay at a time, so that facts keep their order; it lapses with an
instance that died. Where it lapses too early the log gets facts twice and drops them by their ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError

from matinee.drivers.outbox import BATCH, GATHER_S, IDLE_S
from matinee.drivers.redis import Redis
from matinee.kit import log

_log = log.get()
LEASE_MS = 10_000

# What a script that changes state begins with: `put_facts(stream, n)` puts the arguments from the nth on upon the stream.
PUT_FACTS = """
local function put_facts(stream, first)
  for at = first, #ARGV do redis.call('XADD', stream, '*', 'record', ARGV[at]) end
end
"""

# The next facts, for who holds the lease or finds it free; nothing waiting, or somebody else at it: an empty list.
# The lease is laid down in the very step that finds nothing: who puts a fact later finds it free.
_TAKE = """
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {} end
local waiting = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[3])
if #waiting > 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
elseif holder then
  redis.call('DEL', KEYS[2])
end
return waiting
"""
_LEAVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisOutbox:
    """A domain's facts on their way to the log: `stream` is where its scripts put them.

    `run` relays for ever, at least once and in order. `lease_ms` is how long others wait for an instance that died.
    """

    def __init__(self, redis: Redis, stream: str, *, lease_ms: int = LEASE_MS) -> None:
        self._redis = redis
        self.stream = stream
        self._lease = f"{stream}:lease"
        self._next, self._leave = redis.script(_TAKE), redis.script(_LEAVE)
        self._lease_ms = lease_ms
        self._me = secrets.token_hex(8)
        self._stirred = asyncio.Event()

    def notify(self) -> None:
        """Say that something was put, so that it is relayed at once and not at the next look."""
        self._stirred.set()

    async def relay(self, append: Callable[[list[bytes]], Awaitable[None]]) -> int:
        """Hand everything waiting to the log and drop it here; tells how many. Raises what `append` raises."""
        sent = 0
        try:
            while waiting := await self._take():
                await append([fields[1] for _, fields in waiting])
                await self._drop([entry for entry, _ in waiting])
                sent += len(waiting)
                await asyncio.sleep(0 if len(waiting) == BATCH else GATHER_S)
        except BaseException:  # cancelled, too: another instance need not wait for the lease to lapse
            await self._give_way()
            raise
        return sent

    async def run(self, append: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Relay whenever something was put, and every few seconds, until cancelled."""
        while True:
            self._stirred.clear()
            try:
                await self.relay(append)
            except Exception as error:  # the log may be away, or Redis; the facts stay where they are
                _log.warning("outbox.waits", stream=self.stream, error=repr(error))
                await asyncio.sleep(1)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._stirred.wait()

    async def _take(self) -> list[tuple[bytes, list[bytes]]]:
        async with self._redis.operation():
            waiting: list[tuple[bytes, list[bytes]]] = await self._next(
                keys=[self.stream, self._lease], args=[self._me, self._lease_ms, BATCH]
            )
            return waiting

    async def _drop(self, entries: list[bytes]) -> None:
        async with self._redis.operation() as client:
            await client.xdel(self.stream, *entries)

    async def _give_way(self) -> None:
        with contextlib.suppress(Exception):
            async with self._redis.operation():
                await self._leave(keys=[self._lease], args=[self._me])


async def warn_about_durability(redis: Redis, setting: str) -> None:
    """Warn in the log of a Redis that forgets in a restart, or drops when it is full, what is to be kept there.

    A warning and no refusal: what is kept is as durable as its owner wants it. Raises EngineUnavailable.
    """
    async with redis.operation() as client:
        try:
            told = await client.config_get("appendonly", "maxmemory", "maxmemory-policy")
        except ResponseError as error:  # a managed Redis may not tell
            _log.warning("redis.durability_unknown", setting=setting, reason=str(error))
            return
    if told.get("appendonly") != "yes":
        _log.warning("redis.forgets_in_a_restart", setting=setting, advice="set appendonly yes")
    # Nothing kept through here has a time to live: only the policies that look at all keys can drop it.
    if told.get("maxmemory") != "0" and str(told.get("maxmemory-policy")).startswith("allkeys"):
        _log.warning("redis.drops_when_full", setting=setting, advice="set maxmemory-policy noeviction")
