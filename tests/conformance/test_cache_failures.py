"""Caches whose engines are killed, hang, are slow, or return empty or with old values."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.conformance.cache_rig import (
    Caches,
    PrivateEngines,
    Source,
    call_count,
    key_count,
    private_engines,
    wait_until,
    wait_until_returns,
)
from tests.engines import slow_proxy, unique_name

from matinee.drivers.cache import Cache
from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.memcached import MemcachedCache
from matinee.lab.engines import EngineProcess

# Short enough that calls of a hanging engine time out, long enough for a healthy engine on a loaded machine.
TIMEOUT_MS = 500
KEYS = [f"k{number}" for number in range(40)]


@pytest.fixture(scope="module", params=["redis", "memcached", "ring"])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngines]:
    with private_engines(request.param, tmp_path_factory.mktemp("engines")) as engines:
        yield engines


@pytest.fixture
async def caches(engines: PrivateEngines) -> AsyncIterator[Caches]:
    engines.namespace = unique_name("cache")
    async with AsyncExitStack() as stack:
        yield Caches(engines.url, stack)
        engines.each(EngineProcess.resume)
        engines.each(EngineProcess.start)


@pytest.fixture(scope="module")
def ring_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngines]:
    with private_engines("ring", tmp_path_factory.mktemp("ring")) as engines:
        yield engines


@pytest.fixture
async def ring(ring_engines: PrivateEngines) -> AsyncIterator[PrivateEngines]:
    ring_engines.namespace = unique_name("cache")
    yield ring_engines
    ring_engines.each(EngineProcess.resume)
    ring_engines.each(EngineProcess.start)


@pytest.fixture
async def ring_caches(ring: PrivateEngines) -> AsyncIterator[Caches]:
    async with AsyncExitStack() as stack:
        yield Caches(ring.url, stack)


@pytest.mark.parametrize("failure", ["killed", "paused"])
async def test_without_the_engine_values_are_right_and_calls_are_skipped(
    engines: PrivateEngines, caches: Caches, failure: str
) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    cache = await caches.open(timeout_ms=TIMEOUT_MS)
    await cache.get_many(KEYS, source.many)
    engines.each(EngineProcess.kill if failure == "killed" else EngineProcess.pause)
    for number in range(200):
        source.values["k0"] = f"v{number}"
        value = await cache.get("k0", source.one("k0"))
        assert value == f"v{number}" or (value == "1" and key_count(cache, "hit"))  # it answered before the signal
    assert call_count(cache, "skipped") >= 150
    assert key_count(cache, "bypass") >= 150


async def test_without_the_engine_concurrent_calls_load_once(engines: PrivateEngines, caches: Caches) -> None:
    source, cache = Source(a="1"), await caches.open(timeout_ms=TIMEOUT_MS)
    await cache.get("b", source.one("b"))
    engines.each(EngineProcess.kill)
    while call_count(cache, "skipped") == 0:
        await cache.get("b", source.one("b"))
    source.gate.clear()
    waiting = [asyncio.create_task(cache.get("a", source.one("a"))) for _ in range(50)]
    await wait_until(lambda: key_count(cache, "bypass") >= 50)
    source.gate.set()
    assert await asyncio.gather(*waiting) == ["1"] * 50
    assert source.loads["a"] <= 3  # a probe of the breaker waits for the engine first


async def test_a_restarted_engine_is_used_again(engines: PrivateEngines, caches: Caches) -> None:
    source, cache = Source(a="1"), await caches.open(timeout_ms=TIMEOUT_MS)
    await cache.get("a", source.one("a"))
    engines.each(EngineProcess.kill)
    while call_count(cache, "skipped") == 0:
        await cache.get("a", source.one("a"))
    engines.each(EngineProcess.start)
    await wait_until_cached(cache, source)
    source.values["a"] = "2"
    assert await cache.invalidate("a")
    assert await cache.get("a", source.one("a")) == "2"


async def test_an_engine_that_starts_after_the_cache_is_used(engines: PrivateEngines, caches: Caches) -> None:
    engines.each(EngineProcess.kill)
    source, cache = Source(a="1"), await caches.open(timeout_ms=TIMEOUT_MS)
    assert await cache.get("a", source.one("a")) == "1"
    assert not await cache.invalidate("a")
    engines.each(EngineProcess.start)
    await wait_until_cached(cache, source)


async def test_values_are_right_after_a_restart(engines: PrivateEngines, caches: Caches) -> None:
    source, cache = Source(**dict.fromkeys(KEYS, "1")), await caches.open(timeout_ms=TIMEOUT_MS)
    await cache.get_many(KEYS, source.many)
    engines.each(EngineProcess.kill)
    engines.each(EngineProcess.start)
    assert await cache.get_many(KEYS, source.many) == source.values
    other = await caches.open(timeout_ms=TIMEOUT_MS)
    assert await other.get_many(KEYS, source.many) == source.values
    source.values["k3"] = "2"
    await invalidate(other, "k3")
    await wait_until_returns("2", lambda: cache.get("k3", source.one("k3")))


async def test_an_invalidation_during_a_hang_applies_here_at_once_and_everywhere_later(
    engines: PrivateEngines, caches: Caches
) -> None:
    source = Source(a="old")
    one, other = await caches.open(timeout_ms=TIMEOUT_MS), await caches.open(timeout_ms=TIMEOUT_MS)
    await one.get("a", source.one("a"))
    engines.each(EngineProcess.pause)
    source.values["a"] = "new"
    assert not await one.invalidate("a")
    assert await one.get("a", source.one("a")) == "new"
    engines.each(EngineProcess.resume)
    assert await one.get("a", source.one("a")) == "new"  # the engine still has the old value
    await wait_until(lambda: key_count(one, "invalidated") == 1)
    for cache in (one, other):
        assert await cache.get("a", source.one("a")) == "new"


async def test_calls_of_a_slow_engine_time_out_and_are_then_skipped(engines: PrivateEngines) -> None:
    if engines.kind == "ring":
        return  # the proxy stands in front of one host
    async with slow_proxy(engines.url) as proxy, AsyncExitStack() as stack:
        source, cache = Source(a="1"), await Caches(proxy.url, stack).open(timeout_ms=200)
        await cache.get("a", source.one("a"))
        proxy.delay_s = 2.0
        for number in range(100):
            source.values["a"] = f"v{number}"
            await cache.get("a", source.one("a"))
        assert call_count(cache, "skipped") >= 50
        assert call_count(cache, "failed") >= 3
        proxy.delay_s = 0
        await wait_until_cached(cache, source)


async def test_without_one_zone_the_other_serves(ring: PrivateEngines, ring_caches: Caches) -> None:
    source, cache = Source(**dict.fromkeys(KEYS, "1")), await ring_caches.open(timeout_ms=TIMEOUT_MS)
    await cache.get_many(KEYS, source.many)
    for host in ring.processes[:2]:
        host.kill()
    for _ in range(5):
        assert await cache.get_many(KEYS, source.many) == source.values
    loads = source.loads.total()
    assert await cache.get_many(KEYS, source.many) == source.values
    assert source.loads.total() == loads
    assert loads <= 3 * len(KEYS)  # a few are loaded until the breakers open


async def test_an_invalidation_waits_for_a_lost_host_without_disturbing_the_other_zone(
    ring: PrivateEngines, ring_caches: Caches
) -> None:
    source = Source(**dict.fromkeys(KEYS, "old"))
    changer = await ring_caches.open(timeout_ms=TIMEOUT_MS)
    reader = await ring_caches.open(url=ring.url_near("b"), timeout_ms=TIMEOUT_MS)
    await changer.get_many(KEYS, source.many)
    for host in ring.processes[:2]:
        host.kill()
    source.values.update(dict.fromkeys(KEYS, "new"))
    assert not await changer.invalidate(*KEYS)
    for cache in (changer, reader):
        assert await cache.get_many(KEYS, source.many) == source.values
    loads, pending = source.loads.total(), key_count(changer, "pending")
    await wait_until(lambda: key_count(changer, "pending") >= pending + 2)
    assert await reader.get_many(KEYS, source.many) == source.values
    assert source.loads.total() == loads  # repeated only for the lost hosts
    for host in ring.processes[:2]:
        host.start()
    await wait_until(lambda: key_count(changer, "invalidated") > 0)
    assert await changer.get_many(KEYS, source.many) == source.values


async def test_a_value_missing_in_the_near_zone_is_copied_from_the_next(
    ring: PrivateEngines, ring_caches: Caches
) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    far = await ring_caches.open(url=ring.url_near("b"))
    await far.get_many(KEYS, source.many)
    restart_empty(*ring.processes[:2])
    near = await ring_caches.open()
    assert await near.get_many(KEYS, source.many) == source.values
    for host in ring.processes[2:]:
        host.kill()
    assert await (await ring_caches.open(timeout_ms=2_000)).get_many(KEYS, source.many) == source.values
    assert set(source.loads.values()) == {1}


@pytest.mark.parametrize("number", [0, 1, 2, 3])
async def test_a_replica_that_missed_an_invalidation_gets_it_later(
    ring: PrivateEngines, ring_caches: Caches, number: int
) -> None:
    source = Source(**dict.fromkeys(KEYS, "old"))
    changer, reader = await ring_caches.open(timeout_ms=2_000), await ring_caches.open(timeout_ms=2_000)
    from_b = await ring_caches.open(url=ring.url_near("b"), timeout_ms=2_000)
    for cache in (changer, reader, from_b):
        assert await cache.get_many(KEYS, source.many) == source.values
    ring.processes[number].pause()
    source.values.update(dict.fromkeys(KEYS, "new"))
    assert not await changer.invalidate(*KEYS)
    assert await changer.get_many(KEYS, source.many) == source.values
    ring.processes[number].resume()
    await wait_until(lambda: key_count(changer, "invalidated") > 0)
    new_caches = [await ring_caches.open(), await ring_caches.open(url=ring.url_near("b"))]
    for cache in (reader, from_b, changer, *new_caches):
        assert await cache.get_many(KEYS, source.many) == source.values
    source.values.update(dict.fromkeys(KEYS, "newest"))
    assert await changer.invalidate(*KEYS)
    for cache in (reader, from_b, changer):
        assert await cache.get_many(KEYS, source.many) == source.values


async def test_no_read_returns_a_value_older_than_the_last_complete_invalidation(
    ring: PrivateEngines, ring_caches: Caches
) -> None:
    """Change a value all the time while each replica hangs for a second."""
    source = Source(a="0")
    changer = await ring_caches.open(timeout_ms=2_000)
    readers = [await ring_caches.open(url=ring.url_near(zone), timeout_ms=2_000) for zone in "aabb"]
    done, invalidated = asyncio.Event(), 0
    too_old: list[tuple[int, int]] = []

    async def read(cache: Cache[Any]) -> None:
        while not done.is_set():
            oldest = invalidated
            value = int(await cache.get("a", source.one("a")) or -1)
            if value < oldest:
                too_old.append((value, oldest))
            await asyncio.sleep(0.002)

    async def pause_each() -> None:
        for host in ring.processes:
            host.pause()
            await asyncio.sleep(1.0)
            host.resume()
            before = invalidated
            await wait_until(lambda: invalidated > before + 2)  # noqa: B023  # it ends before the next round

    reading = [asyncio.create_task(read(cache)) for cache in readers]
    pausing = asyncio.create_task(pause_each())
    while not pausing.done():
        source.values["a"] = str(int(source.values["a"]) + 1)
        if await changer.invalidate("a"):
            invalidated = int(source.values["a"])
        await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(pausing, *reading)
    assert too_old == []
    assert invalidated > 10


async def test_an_empty_replica_is_warmed_from_the_other_zone(ring: PrivateEngines, ring_caches: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    cache = await ring_caches.open(url=ring.url_near("b"), timeout_ms=2_000)
    await cache.get_many(KEYS, source.many)
    restart_empty(ring.processes[0])
    cold = ring.names[0]
    hashing = HashRing(ring.names[:2])
    cold_keys = [key for key in KEYS if hashing.host(f"{cache.namespace}:{key}") == cold]
    assert cold_keys
    async with asyncio.timeout(60):
        while ring_of(cache).warmed < len(cold_keys):  # on a busy machine a copy may be too late
            await ring_of(cache).warm(cold, limit=1_000)
            await wait_until(lambda: not ring_of(cache).is_warming)  # the new connection warms the host too
    for host in ring.processes[2:]:
        host.kill()
    restarted = await ring_caches.open(timeout_ms=2_000)
    assert await restarted.get_many(cold_keys, source.many) == dict.fromkeys(cold_keys, "1")
    assert set(source.loads.values()) == {1}


async def test_a_host_that_restarts_empty_is_warmed_by_one_process(ring: PrivateEngines, ring_caches: Caches) -> None:
    source = Source(**dict.fromkeys(KEYS, "1"))
    rings = [await ring_caches.open(url=ring.url_near("b"), timeout_ms=2_000) for _ in range(2)]
    await asyncio.gather(*(cache.get_many(KEYS, source.many) for cache in rings))
    await wait_until(lambda: not any(ring_of(cache).is_warming for cache in rings))
    before = [ring_of(cache).warmed for cache in rings]
    restart_empty(ring.processes[0])
    async with asyncio.timeout(60):
        while [ring_of(cache).warmed for cache in rings] == before:
            for cache in rings:
                await cache.invalidate(*(f"new{number}" for number in range(40)))  # connects to all hosts
                await asyncio.sleep(0.05)
    await wait_until(lambda: not any(ring_of(cache).is_warming for cache in rings))
    assert sum(ring_of(cache).warmed > count for cache, count in zip(rings, before, strict=True)) == 1
    assert set(source.loads.values()) == {1}


async def test_warming_restores_nothing_that_is_invalidated_meanwhile(
    ring: PrivateEngines, ring_caches: Caches
) -> None:
    source = Source(**dict.fromkeys(KEYS, "old"))
    cache = await ring_caches.open(url=ring.url_near("b"), timeout_ms=2_000)
    await cache.get_many(KEYS, source.many)
    restart_empty(ring.processes[0])
    warming = asyncio.create_task(ring_of(cache).warm(ring.names[0], limit=1_000))
    source.values.update(dict.fromkeys(KEYS, "new"))
    await invalidate(cache, *KEYS)
    await warming
    for zone in "ab":
        reader = await ring_caches.open(url=ring.url_near(zone))
        assert await reader.get_many(KEYS, source.many) == source.values


def restart_empty(*hosts: EngineProcess) -> None:
    for host in hosts:
        host.kill()
        host.start()


def ring_of(cache: Cache[Any]) -> MemcachedCache:
    engine = cache.client.engine
    assert isinstance(engine, MemcachedCache)
    return engine


async def invalidate(cache: Cache[Any], *keys: str) -> None:
    """Invalidate keys, and wait until the invalidation is complete."""
    if not await cache.invalidate(*keys):
        await wait_until(lambda: key_count(cache, "invalidated") > 0)


async def wait_until_cached(cache: Cache[Any], source: Source) -> None:
    """Wait until the cache stores values again."""
    hits = key_count(cache, "hit")
    async with asyncio.timeout(60):
        while key_count(cache, "hit") == hits:
            await cache.get("a", source.one("a"))
            await asyncio.sleep(0.01)
