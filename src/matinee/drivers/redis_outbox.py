"""The outbox in Redis: facts put on a stream by the script that changes the state.

A lease lets one instance relay at a time, so that facts keep their order. The lease of an instance that dies expires.
If it expires too early, the log receives facts twice and drops the duplicates by their ids.
"""

from __future__ import annotations

import contextlib
import secrets

from redis.exceptions import ResponseError

from matinee.drivers.outbox import BATCH, Append, RelayLoop, relay_batches
from matinee.drivers.redis import Redis
from matinee.kit import log

_log = log.get()
LEASE_MS = 10_000

# Prepended to a script that changes state: `put_facts(stream, n)` puts the arguments from the nth on the stream.
PUT_FACTS = """
local function put_facts(stream, first)
  for at = first, #ARGV do redis.call('XADD', stream, '*', 'record', ARGV[at]) end
end
"""

# Acquire or keep the lease and return the next facts; return nothing if another instance holds the lease. If there are
# no facts, the same step releases the lease, so that it is free when the next fact is put.
_READ = """
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
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisOutbox:
    """A domain's facts, which its scripts put on `stream`. Other instances wait `lease_ms` after one has died."""

    def __init__(self, redis: Redis, stream: str, *, lease_ms: int = LEASE_MS) -> None:
        self._redis = redis
        self.stream = stream
        self._lease = f"{stream}:lease"
        self._read_script, self._release_script = redis.script(_READ), redis.script(_RELEASE)
        self._lease_ms = lease_ms
        self._holder = secrets.token_hex(8)
        self._loop = RelayLoop(stream)

    def notify(self) -> None:
        """Relay soon: call it after the script has put facts."""
        self._loop.notify()

    async def relay(self, append: Append) -> int:
        """Append all facts to the log and return their number: none while another instance relays."""
        total = 0
        try:
            while sent := await relay_batches(append, read=self._read, delete=self._delete):
                total += sent  # the last read finds nothing and releases the lease
            return total
        except BaseException:  # another instance need not wait until the lease expires
            await self._release()
            raise

    async def run(self, append: Append) -> None:
        """Relay after each notification, and every few seconds, until cancelled."""
        await self._loop.run(lambda: self.relay(append))

    async def _read(self) -> list[tuple[bytes, bytes]]:
        async with self._redis.operation():
            entries: list[tuple[bytes, list[bytes]]] = await self._read_script(
                keys=[self.stream, self._lease], args=[self._holder, self._lease_ms, BATCH]
            )
            return [(entry, fields[1]) for entry, fields in entries]

    async def _delete(self, entries: list[bytes]) -> None:
        async with self._redis.operation() as client:
            await client.xdel(self.stream, *entries)

    async def _release(self) -> None:
        with contextlib.suppress(Exception):
            async with self._redis.operation():
                await self._release_script(keys=[self._lease], args=[self._holder])


async def warn_about_durability(redis: Redis, setting: str) -> None:
    """Log a warning where Redis loses its data in a restart, or evicts it when it is full. Raises EngineUnavailable."""
    async with redis.operation() as client:
        try:
            config = await client.config_get("appendonly", "maxmemory", "maxmemory-policy")
        except ResponseError as error:  # a managed Redis may refuse CONFIG
            _log.warning("redis.durability_unknown", setting=setting, reason=str(error))
            return
    if config.get("appendonly") != "yes":
        _log.warning("redis.loses_data_in_a_restart", setting=setting, advice="set appendonly yes")
    # State has no time to live: only the policies for all keys evict it.
    if config.get("maxmemory") != "0" and str(config.get("maxmemory-policy")).startswith("allkeys"):
        _log.warning("redis.evicts_when_full", setting=setting, advice="set maxmemory-policy noeviction")
