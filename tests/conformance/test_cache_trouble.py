"""Caches whose engines die, hang, crawl, come back empty or come back full of what is no longer true."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.cache_rig import Caches, Mine, Source, calls, counted, mine, until, until_it_is
from tests.engines import slow_proxy, unique_name

from matinee.drivers.cache import Cache
from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.memcached import MemcachedCache
from matinee.lab.engines import EngineProcess

# Short enough to be seen to matter, long enough for an engine that is well on a machine that is busy.
LIMIT_MS = 500
KEYS = [f"k{number}" for number in range(40)]


@pytest.fixture(scope="module", params=["redis", "memcached", "ring"])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    with mine(request.param, tmp_path_factory.mktemp("engines")) as some:
        yield some


@pytest.fixture
async def caches(engines: Mine) -> AsyncIterator[Caches]:
    engines.namespace = unique_name("cache")
    async with AsyncExitStack() as stack:
        yield Caches(engines.url, stack)
        engines.all(EngineProcess.resume)
        engines.all(EngineProcess.start)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    with mine("ring", tmp_path_factory.mktemp("ring")) as some:
        yield some


@pytest.fixture
async def ring(four: Mine) -> AsyncIterator[Mine]:
    four.namespace = unique_name("cache")
    yield four
    four.all(EngineProcess.resume)
    four.all(EngineProcess.start)


@pytest.fixture
async def rings(ring: Mine) -> AsyncIterator[Caches]:
    async with AsyncExitStack() as stack:
        yield Caches(ring.url, stack)


@pytest.mark.parametrize("harm", ["killed", "paused"])
async def test_while_the_engine_is_gone_answers_are_right_and_it_is_hardly_asked(
    engines: Mine, caches: Caches, harm: str
) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    cache = await caches.open(limit_ms=LIMIT_MS)
    await cache.get_many(KEYS, source.many)
    engines.all(EngineProcess.kill if harm == "killed" else EngineProcess.pause)
    for number in range(200):
        source.values["k0"] = f"v{number}"
        got = await cache.get("k0", source.one("k0"))
        assert got == f"v{number}" or (got == "1" and counted(cache, "hit"))  # its last words, before the signal came
    assert calls(cache, "spared") >= 150
    assert counted(cache, "dark") >= 150


async def test_of_many_who_ask_while_it_is_gone_one_loads(engines: Mine, caches: Caches) -> None:
    source, cache = Source(a="1"), await caches.open(limit_ms=LIMIT_MS)
    await cache.get("b", source.one("b"))
    engines.all(EngineProcess.kill)
    while calls(cache, "spared") == 0:
        await cache.get("b", source.one("b"))
    source.gate.clear()
    waiting = [asyncio.create_task(cache.get("a", source.one("a"))) for _ in range(50)]
    await until(lambda: counted(cache, "dark") >= 50)
    source.gate.set()
    assert await asyncio.gather(*waiting) == ["1"] * 50
    assert source.asked["a"] <= 3  # those that came before the breaker opened have waited for the engine first


async def test_an_engine_that_is_back_is_used_again(engines: Mine, caches: Caches) -> None:
    source, cache = Source(a="1"), await caches.open(limit_ms=LIMIT_MS)
    await cache.get("a", source.one("a"))
    engines.all(EngineProcess.kill)
    while calls(cache, "spared") == 0:
        await cache.get("a", source.one("a"))
    engines.all(EngineProcess.start)
    before = counted(cache, "kept")
    await until_it_is("kept", lambda: kept_again(cache, source, before))
    source.values["a"] = "2"
    assert await cache.invalidate("a")
    assert await cache.get("a", source.one("a")) == "2"


async def kept_again(cache: Cache[Any], source: Source, before: int) -> str:
    await cache.get("a", source.one("a"))
    hits = counted(cache, "hit")
    await cache.get("a", source.one("a"))
    return "kept" if counted(cache, "hit") > hits or counted(cache, "kept") > before else "not yet"


async def test_an_engine_that_is_absent_at_the_start_is_used_when_it_comes(engines: Mine, caches: Caches) -> None:
    engines.all(EngineProcess.kill)
    source, cache = Source(a="1"), await caches.open(limit_ms=LIMIT_MS)
    assert await cache.get("a", source.one("a")) == "1"
    assert not await cache.invalidate("a")
    engines.all(EngineProcess.start)
    await until_it_is("kept", lambda: kept_again(cache, source, 0))


async def test_an_engine_that_is_restarted_has_lost_or_kept_what_is_true(engines: Mine, caches: Caches) -> None:
    source, cache = Source(**dict.fromkeys(KEYS, "1")), await caches.open(limit_ms=LIMIT_MS)
    await cache.get_many(KEYS, source.many)
    engines.all(EngineProcess.kill)
    engines.all(EngineProcess.start)
    assert await cache.get_many(KEYS, source.many) == source.values
    other = await caches.open(limit_ms=LIMIT_MS)
    assert await other.get_many(KEYS, source.many) == source.values
    source.values["k3"] = "2"
    await invalidated(other, "k3")
    await until_it_is("2", lambda: cache.get("k3", source.one("k3")))


async def test_an_invalidation_while_it_hangs_holds_here_at_once_and_everywhere_afterwards(
    engines: Mine, caches: Caches
) -> None:
    source, one, other = Source(a="old"), await caches.open(limit_ms=LIMIT_MS), await caches.open(limit_ms=LIMIT_MS)
    await one.get("a", source.one("a"))
    engines.all(EngineProcess.pause)
    source.values["a"] = "new"
    assert not await one.invalidate("a")
    assert await one.get("a", source.one("a")) == "new"
    engines.all(EngineProcess.resume)
    assert await one.get("a", source.one("a")) == "new"  # never the old value, whatever the engine has
    await until(lambda: counted(one, "gone") == 1)
    await asyncio.sleep(0.6)  # an own view of a ring's hosts is at most half a second old
    for cache in (one, other):
        assert await cache.get("a", source.one("a")) == "new"


async def test_a_slow_engine_costs_no_more_than_its_limit_and_then_nothing(engines: Mine, tmp_path: Path) -> None:
    if engines.kind == "ring":
        return  # the one below
    async with slow_proxy(engines.url) as proxy, AsyncExitStack() as stack:
        source, cache = Source(a="1"), await Caches(proxy.url, stack).open(limit_ms=200)
        await cache.get("a", source.one("a"))
        proxy.delay_s = 2.0
        for number in range(100):
            source.values["a"] = f"v{number}"
            await cache.get("a", source.one("a"))
        assert calls(cache, "spared") >= 50
        assert calls(cache, "failed") >= 3
        proxy.delay_s = 0
        await until_it_is("kept", lambda: kept_again(cache, source, 0))


async def test_a_zone_is_lost_and_the_other_serves(ring: Mine, rings: Caches) -> None:
    source, cache = Source(**dict.fromkeys(KEYS, "1")), await rings.open(limit_ms=LIMIT_MS)
    await cache.get_many(KEYS, source.many)
    for host in ring.running[:2]:
        host.kill()
    for _ in range(5):
        assert await cache.get_many(KEYS, source.many) == source.values
    loaded = source.asked.total()
    assert await cache.get_many(KEYS, source.many) == source.values
    assert source.asked.total() == loaded
    assert loaded <= 3 * len(KEYS)  # at most some while the breakers learned of it
    source.values["k1"] = "2"
    assert await cache.invalidate("k1")
    assert await cache.get("k1", source.one("k1")) == "2"


async def test_what_the_near_zone_lacks_comes_from_the_next_and_stays(ring: Mine, rings: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    far = await rings.open(url=ring.near("b"))
    await far.get_many(KEYS, source.many)
    for host in ring.running[:2]:  # restarted empty
        host.kill()
        host.start()
    near = await rings.open()
    assert await near.get_many(KEYS, source.many) == source.values
    for host in ring.running[2:]:
        host.kill()
    assert await (await rings.open(limit_ms=2_000)).get_many(KEYS, source.many) == source.values
    assert set(source.asked.values()) == {1}


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_a_replica_that_missed_an_invalidation_is_never_read_as_if_nothing_had_been(
    ring: Mine, rings: Caches, place: int
) -> None:
    """One that hangs and goes on, with all its old values; others did not even see that it was away."""
    source = Source(**dict.fromkeys(KEYS, "old"))
    changer, reader = await rings.open(limit_ms=2_000), await rings.open(limit_ms=2_000)
    from_b = await rings.open(url=ring.near("b"), limit_ms=2_000)
    for cache in (changer, reader, from_b):
        assert await cache.get_many(KEYS, source.many) == source.values
    ring.running[place].pause()
    source.values.update(dict.fromkeys(KEYS, "new"))
    told = await changer.invalidate(*KEYS)
    ring.running[place].resume()
    assert told
    for cache in (reader, from_b, changer, await rings.open(), await rings.open(url=ring.near("b"))):
        assert await cache.get_many(KEYS, source.many) == source.values
    source.values.update(dict.fromkeys(KEYS, "newest"))
    assert await changer.invalidate(*KEYS)
    for cache in (reader, from_b, changer):
        assert await cache.get_many(KEYS, source.many) == source.values


async def test_nor_one_that_comes_back_while_values_change_all_the_time(ring: Mine, rings: Caches) -> None:
    """A history: what a reader gets is never older than what was invalidated before it asked."""
    source = Source(a="0")
    changer = await rings.open(limit_ms=2_000)
    readers = [await rings.open(url=ring.near(zone), limit_ms=2_000) for zone in "aabb"]
    done, acknowledged = asyncio.Event(), 0
    late: list[tuple[int, int]] = []

    async def read(cache: Cache[Any]) -> None:
        while not done.is_set():
            least = acknowledged
            got = int(await cache.get("a", source.one("a")) or -1)
            if got < least:
                late.append((got, least))
            await asyncio.sleep(0.002)

    async def harm() -> None:
        for each in ring.running:
            each.pause()
            await asyncio.sleep(1.0)
            each.resume()
            before = acknowledged
            await until(lambda: acknowledged > before + 2)  # noqa: B023  # it is over before the next begins

    reading = [asyncio.create_task(read(cache)) for cache in readers]
    harming = asyncio.create_task(harm())
    while not harming.done():
        source.values["a"] = str(int(source.values["a"]) + 1)
        if await changer.invalidate("a"):
            acknowledged = int(source.values["a"])
        await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(harming, *reading)
    assert late == []
    assert acknowledged > 10


async def test_a_replica_that_is_back_is_warmed_from_the_other_zone(ring: Mine, rings: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    cache = await rings.open(url=ring.near("b"), limit_ms=2_000)
    await cache.get_many(KEYS, source.many)
    ring.running[0].kill()
    ring.running[0].start()
    engine = cache.guard.engine
    assert isinstance(engine, MemcachedCache)
    cold = ring.running[0].location.client
    mine_there = [
        key
        for key in KEYS
        if HashRing(each.location.client for each in ring.running[:2]).host(f"{cache.space}:{key}") == cold
    ]
    await engine.warm(cold, limit=1_000)
    assert mine_there
    await until(lambda: engine.warmed >= len(mine_there))  # by this and by what begins of itself
    ring.running[2].kill()
    ring.running[3].kill()
    assert await (await rings.open(limit_ms=2_000)).get_many(mine_there, source.many) == dict.fromkeys(mine_there, "1")
    assert set(source.asked.values()) == {1}


async def test_a_host_that_is_restarted_empty_is_warmed_unasked_by_one(ring: Mine, rings: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    both = [await rings.open(limit_ms=2_000) for _ in range(2)]
    for cache in both:
        await cache.get_many(KEYS, source.many)
    before = [warmed(cache) for cache in both]
    ring.running[0].kill()
    ring.running[0].start()
    async with asyncio.timeout(30):
        while [warmed(cache) for cache in both] == before:
            await asyncio.gather(*(cache.get("k0", source.one("k0")) for cache in both))
            await asyncio.sleep(0.05)
    assert await both[0].get_many(KEYS, source.many) == source.values


def warmed(cache: Cache[Any]) -> int:
    engine = cache.guard.engine
    assert isinstance(engine, MemcachedCache)
    return engine.warmed


async def test_warming_brings_back_nothing_that_was_invalidated_meanwhile(ring: Mine, rings: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "old"))
    cache = await rings.open(url=ring.near("b"), limit_ms=2_000)
    await cache.get_many(KEYS, source.many)
    ring.running[0].kill()
    ring.running[0].start()
    engine = cache.guard.engine
    assert isinstance(engine, MemcachedCache)
    warming = asyncio.create_task(engine.warm(ring.running[0].location.client, limit=1_000))
    source.values.update(dict.fromkeys(KEYS, "new"))
    assert await cache.invalidate(*KEYS)
    await warming
    for zone in "ab":
        assert await (await rings.open(url=ring.near(zone))).get_many(KEYS, source.many) == source.values


async def invalidated(cache: Cache[Any], *keys: str) -> None:
    """Invalidate, and wait until it is told."""
    if not await cache.invalidate(*keys):
        await until(lambda: counted(cache, "gone") > 0)
