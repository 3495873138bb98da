"""The outbox in Redis relays in order and at least once, also when instances fail or die."""

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
    async with Redis(url) as client:
        yield client


def new_outbox(redis: Redis, lease_ms: int = 10_000) -> RedisOutbox:
    return RedisOutbox(redis, redis.key(STREAM), lease_ms=lease_ms)


async def put(redis: Redis, *records: bytes) -> None:
    await redis.script(PUT_FACTS + "put_facts(KEYS[1], 1)")(keys=[redis.key(STREAM)], args=records)


async def relay_when_free(redis: Redis, log: "Log") -> None:
    """Relay as soon as the lease is free."""
    while not await new_outbox(redis).relay(log.append):  # noqa: ASYNC110  # nothing notifies of an expired lease
        await asyncio.sleep(0.02)


class Log:
    """A log that raises after its first `fails` appends. With `slow` an append waits for `go_on`."""

    def __init__(self, *, fails: int = 0, slow: bool = False) -> None:
        self.records: list[bytes] = []
        self.fails = fails
        self.go_on = asyncio.Event()
        if not slow:
            self.go_on.set()
        self.called = asyncio.Event()

    async def append(self, records: list[bytes]) -> None:
        self.called.set()
        await self.go_on.wait()
        self.records += records
        self.called.set()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the response is lost")


async def test_several_instances_relay_each_record_once_and_in_order(redis: Redis) -> None:
    log, relays = Log(), [new_outbox(redis) for _ in range(3)]
    running = [asyncio.create_task(one.run(log.append)) for one in relays]
    wanted = [b"%d" % n for n in range(200)]
    for at in range(0, len(wanted), 5):
        await put(redis, *wanted[at : at + 5])
        relays[at % 3].notify()
        await asyncio.sleep(0.002)
    while len(log.records) < len(wanted):
        log.called.clear()
        await log.called.wait()
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert log.records == wanted


async def test_records_that_the_log_did_not_acknowledge_are_appended_again(redis: Redis) -> None:
    log, one = Log(fails=1), new_outbox(redis)
    await put(redis, b"1", b"2")
    with pytest.raises(ConnectionError):
        await one.relay(log.append)
    assert await new_outbox(redis).relay(log.append) == 2  # at once: a failed relay releases the lease
    assert log.records == [b"1", b"2"] * 2
    assert await one.relay(log.append) == 0


async def test_cancelled_relay_releases_the_lease(redis: Redis) -> None:
    log, slow = Log(), Log(slow=True)
    await put(redis, b"1")
    stopped = asyncio.create_task(new_outbox(redis).relay(slow.append))
    await slow.called.wait()
    assert await new_outbox(redis).relay(log.append) == 0  # the lease is taken
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    assert await new_outbox(redis).relay(log.append) == 1


async def test_relay_slower_than_its_lease_loses_no_record(redis: Redis) -> None:
    slow, quick = Log(slow=True), Log()
    await put(redis, b"1", b"2")
    slowly = asyncio.create_task(new_outbox(redis, lease_ms=100).relay(slow.append))
    await slow.called.wait()
    await relay_when_free(redis, quick)
    await put(redis, b"3")
    slow.go_on.set()
    await asyncio.gather(slowly, new_outbox(redis).relay(quick.append))
    assert slow.records[:2] == quick.records[:2] == [b"1", b"2"]
    assert {*slow.records, *quick.records} == {b"1", b"2", b"3"}
    assert await redis.client.xlen(redis.key(STREAM)) == 0


async def test_another_instance_relays_after_one_was_killed(redis: Redis, url: str) -> None:
    await put(redis, b"1", b"2")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    relaying = await asyncio.create_subprocess_exec(
        sys.executable, __file__, url, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert relaying.stdout
    assert await relaying.stdout.readline() == b"relaying\n"
    relaying.kill()
    await relaying.wait()
    log = Log()
    await relay_when_free(redis, log)
    assert log.records == [b"1", b"2"]


async def _relay_forever(url: str) -> None:
    async def append(_: list[bytes]) -> None:
        print("relaying", flush=True)
        await asyncio.sleep(60)

    async with Redis(url) as redis:
        await new_outbox(redis, lease_ms=300).relay(append)


if __name__ == "__main__":
    asyncio.run(_relay_forever(sys.argv[1]))
