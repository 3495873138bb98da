"""Parts of the cache policy that need an engine under the test's control."""

import asyncio
from collections.abc import Mapping

import pytest

from matinee.drivers.cache import Cache, CacheClient, CacheMetrics, CachePolicy, MemoryCache
from matinee.drivers.cache.cache import MAX_PENDING
from matinee.drivers.cache.engine import Token
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import ManualClock, SystemClock


class GatedCache(MemoryCache):
    """A cache engine in which the test completes or fails each `set_many`."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.calls: list[asyncio.Future[bool]] = []

    async def set_many(
        self, values: Mapping[str, bytes], ttl_ms: int, *, missed: Mapping[str, Token]
    ) -> dict[str, Token]:
        self.calls.append(asyncio.get_running_loop().create_future())
        if not await self.calls[-1]:
            raise EngineUnavailable(engine="memory")
        return await super().set_many(values, ttl_ms, missed=missed)


async def wait_for_calls(engine: GatedCache, count: int) -> None:
    async with asyncio.timeout(10):
        while len(engine.calls) < count:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)


def open_client(engine: MemoryCache) -> CacheClient:
    return CacheClient(engine, metrics=CacheMetrics(Metrics()), timeout_ms=60_000)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_failed_invalidation_is_repeated_whichever_of_two_ends_first(order: tuple[int, int]) -> None:
    engine = GatedCache()
    cache: Cache[str] = Cache(open_client(engine), name="x", kind=str, clock=SystemClock())
    first = asyncio.create_task(cache.invalidate("a"))
    await wait_for_calls(engine, 1)
    second = asyncio.create_task(cache.invalidate("a"))
    await wait_for_calls(engine, 2)
    for number in order:
        engine.calls[number].set_result(number == 0)  # the second one fails
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert await second is False
    await first
    await wait_for_calls(engine, 3)
    engine.calls[2].set_result(True)
    await asyncio.sleep(0.01)
    assert len(engine.calls) == 3
    await cache.close()


async def test_with_too_many_pending_invalidations_the_cache_is_bypassed_for_its_ttl() -> None:
    clock, engine = ManualClock(), GatedCache()
    cache: Cache[str] = Cache(open_client(engine), name="x", kind=str, clock=clock, policy=CachePolicy(ttl_ms=60_000))

    async def load() -> str:
        return "value"

    invalidating = asyncio.create_task(cache.invalidate(*(str(n) for n in range(MAX_PENDING + 1))))
    await wait_for_calls(engine, 1)
    engine.calls[0].set_result(False)
    assert await invalidating is False
    await cache.get("other", load)
    assert await engine.get_many([f"{cache.namespace}:other"]) == {}
    clock.advance(minutes=1)
    await cache.get("other", load)
    assert await engine.get_many([f"{cache.namespace}:other"]) != {}


async def test_a_call_after_an_invalidation_does_not_join_a_load_from_before() -> None:
    """A value that is too large is loaded by each call, and concurrent calls share a load."""
    engine = MemoryCache(clock=SystemClock(), max_bytes=8_000)
    client = open_client(engine)
    reader: Cache[str] = Cache(client, name="x", kind=str, clock=SystemClock())
    changer: Cache[str] = Cache(client, name="x", kind=str, clock=SystemClock())
    gate, source = asyncio.Event(), "old" * 1_000

    async def load() -> str:
        value = source
        await gate.wait()
        return value

    gate.set()
    assert await reader.get("a", load) == source
    gate.clear()
    early = asyncio.create_task(reader.get("a", load))
    await asyncio.sleep(0.01)
    source = "new" * 1_000
    assert await changer.invalidate("a")
    late = asyncio.create_task(reader.get("a", load))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await early, await late) == ("old" * 1_000, "new" * 1_000)
