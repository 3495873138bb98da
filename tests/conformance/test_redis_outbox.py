"""The outbox in Redis: in order and at least once, whoever relays, fails or dies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines import shared_engine

from matinee.drivers.redis import Redis
from matinee.drivers.redis_outbox import PUT_FACTS, RedisOutbox

STREAM = "outbox"


@pytest.fixture
def url() -> str:
    return shared_engine("redis").url("outbox")


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    async with Redis(url) as opened:
        yield opened


def outbox(redis: Redis, lease_ms: int = 10_000) -> RedisOutbox:
    return RedisOutbox(redis, redis.key(STREAM), lease_ms=lease_ms)


async def put(redis: Redis, *records: bytes) -> None:
    await redis.script(PUT_FACTS + "put_facts(KEYS[1], 1)")(keys=[redis.key(STREAM)], args=records)


async def relayed(redis: Redis, log: "Log") -> None:
    """Relay what waits, as soon as nobody else holds the lease."""
    while not await outbox(redis).relay(log.append):  # noqa: ASYNC110  # a lease lapses without a word
        await asyncio.sleep(0.02)


class Log:
    """Takes records down; `fails` times it does so and answers with an error; a slow one waits to be told `go_on`."""

    def __init__(self, *, fails: int = 0, slow: bool = False) -> None:
        self.records: list[bytes] = []
        self.fails = fails
        self.go_on = asyncio.Event()
        if not slow:
            self.go_on.set()
        self.asked = asyncio.Event()

    async def append(self, records: list[bytes]) -> None:
        self.asked.set()
        await self.go_on.wait()
        self.records += records
        self.asked.set()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the answer was lost")


async def test_several_relay_in_order_each_record_once(redis: Redis) -> None:
    log, relays = Log(), [outbox(redis) for _ in range(3)]
    running = [asyncio.create_task(one.run(log.append)) for one in relays]
    wanted = [b"%d" % n for n in range(200)]
    for at in range(0, len(wanted), 5):
        await put(redis, *wanted[at : at + 5])
        relays[at % 3].notify()
        await asyncio.sleep(0.002)
    while len(log.records) < len(wanted):
        log.asked.clear()
        await log.asked.wait()
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert log.records == wanted


async def test_what_the_log_did_not_acknowledge_is_handed_to_it_again(redis: Redis) -> None:
    log, one = Log(fails=1), outbox(redis)
    await put(redis, b"1", b"2")
    with pytest.raises(ConnectionError):
        await one.relay(log.append)
    assert await outbox(redis).relay(log.append) == 2  # at once: who fails gives way
    assert log.records == [b"1", b"2"] * 2
    assert await one.relay(log.append) == 0


async def test_who_is_stopped_gives_way(redis: Redis) -> None:
    log, slow = Log(), Log(slow=True)
    await put(redis, b"1")
    stopped = asyncio.create_task(outbox(redis).relay(slow.append))
    await slow.asked.wait()
    assert await outbox(redis).relay(log.append) == 0  # somebody is at it
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    assert await outbox(redis).relay(log.append) == 1


async def test_who_is_slower_than_the_lease_loses_nothing(redis: Redis) -> None:
    slow, quick = Log(slow=True), Log()
    await put(redis, b"1", b"2")
    slowly = asyncio.create_task(outbox(redis, lease_ms=100).relay(slow.append))
    await slow.asked.wait()
    await relayed(redis, quick)
    await put(redis, b"3")
    slow.go_on.set()
    await asyncio.gather(slowly, outbox(redis).relay(quick.append))
    assert slow.records[:2] == quick.records[:2] == [b"1", b"2"]
    assert {*slow.records, *quick.records} == {b"1", b"2", b"3"}
    assert await redis.client.xlen(redis.key(STREAM)) == 0


async def test_another_goes_on_for_one_that_was_killed(redis: Redis, url: str) -> None:
    await put(redis, b"1", b"2")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    holder = await asyncio.create_subprocess_exec(
        sys.executable, __file__, url, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert holder.stdout
    assert await holder.stdout.readline() == b"has them\n"
    holder.kill()
    await holder.wait()
    log = Log()
    await relayed(redis, log)
    assert log.records == [b"1", b"2"]


async def _hold(url: str) -> None:
    async def append(_: list[bytes]) -> None:
        print("has them", flush=True)
        await asyncio.sleep(60)

    async with Redis(url) as redis:
        await outbox(redis, lease_ms=300).relay(append)


if __name__ == "__main__":
    asyncio.run(_hold(sys.argv[1]))
