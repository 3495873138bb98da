"""What of the cache's policy only shows with an engine that answers exactly when it is told to."""

import asyncio
from collections.abc import Mapping

from matinee.drivers.cache import Cache, Figures, Guard, MemoryCache
from matinee.drivers.cache.breaker import Breaker
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.metrics import Metrics
from matinee.kit.clock import SystemClock


class Gated(MemoryCache):
    """Every set waits to be let through, or refused."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.asked: list[asyncio.Future[bool]] = []

    async def set_many(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        if not await self.asked[-1]:
            raise EngineUnavailable(engine="memory")
        await super().set_many(values, ttl_ms)


async def asked(engine: Gated, times: int) -> None:
    async with asyncio.timeout(10):
        while len(engine.asked) < times:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)


async def test_of_two_invalidations_the_one_that_failed_is_told_whichever_ends_first() -> None:
    for order in ((0, 1), (1, 0)):
        engine = Gated()
        guard = Guard(engine, figures=Figures(Metrics()), limit_ms=60_000)
        cache: Cache[str] = Cache(guard, name="x", kind=str, clock=SystemClock())
        first = asyncio.create_task(cache.invalidate("a"))
        await asked(engine, 1)
        second = asyncio.create_task(cache.invalidate("a"))
        await asked(engine, 2)
        for place in order:
            engine.asked[place].set_result(place == 0)  # the second one fails
            await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert await second is False
        await first
        await asked(engine, 3)  # it is tried again
        engine.asked[2].set_result(True)
        await asyncio.sleep(0.01)
        assert len(engine.asked) == 3
        await cache.close()


async def test_what_joins_a_load_when_the_engine_is_well_began_after_the_last_invalidation() -> None:
    """A value that is too big is loaded each time; who comes after an invalidation does not join who came before."""
    engine = MemoryCache(clock=SystemClock(), limit_bytes=8_000)
    guard = Guard(engine, figures=Figures(Metrics()), limit_ms=60_000)
    reader: Cache[str] = Cache(guard, name="x", kind=str, clock=SystemClock())
    changer: Cache[str] = Cache(guard, name="x", kind=str, clock=SystemClock())
    gate, truth = asyncio.Event(), "old" * 1_000

    async def load() -> str:
        got = truth
        await gate.wait()
        return got

    gate.set()
    assert await reader.get("a", load) == truth
    gate.clear()
    early = asyncio.create_task(reader.get("a", load))
    await asyncio.sleep(0.01)
    truth = "new" * 1_000
    assert await changer.invalidate("a")
    late = asyncio.create_task(reader.get("a", load))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await early, await late) == ("old" * 1_000, "new" * 1_000)


def test_a_breaker_opens_lets_one_look_and_closes() -> None:
    now_s = 0.0
    breaker = Breaker(failures=2, open_s=1, longest_s=3, now_s=lambda: now_s)
    breaker.failed()
    assert breaker.lets()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.lets()
    now_s = 1.3
    assert breaker.lets()
    assert not breaker.lets()  # one is out to look
    breaker.failed()
    now_s = 1.3 + 1.5  # twice as long now
    assert not breaker.lets()
    now_s = 1.3 + 2.5
    assert breaker.lets()
    breaker.succeeded()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.lets()
