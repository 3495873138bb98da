"""The policy of caches, on every engine."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.cache_rig import (
    Caches,
    FixedRandom,
    PrivateEngines,
    Source,
    engine_of,
    key_count,
    private_engines,
    shared_url,
    wait_until,
)
from tests.engines import unique_name

from matinee.drivers.cache import CachePolicy, StoredBytes
from matinee.kit.clock import ManualClock, SystemClock

KINDS = ("memory", "redis", "memcached", "ring")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngines]:
    with private_engines("ring", tmp_path_factory.mktemp("ring")) as engines:
        yield engines


@pytest.fixture(params=KINDS)
async def caches(request: pytest.FixtureRequest) -> AsyncIterator[Caches]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            url = "memory://"
        elif request.param == "ring":
            engines: PrivateEngines = request.getfixturevalue("ring")
            engines.namespace = unique_name("cache")
            url = engines.url
        else:
            url = shared_url(request.param)
        yield Caches(url, stack)


async def test_a_value_is_loaded_once_for_all_processes(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="1")
    assert [await cache.get("a", source.one("a")) for cache in (one, other, one)] == ["1", "1", "1"]
    assert source.loads == {"a": 1}
    assert (key_count(one, "load"), key_count(other, "hit"), key_count(one, "hit")) == (1, 1, 1)


async def test_a_value_expires_after_its_ttl_less_the_jitter(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="1", b="1")
    policy = CachePolicy(ttl_ms=10_000, jitter=0.5)
    late = await caches.open(clock=clock, policy=policy, rng=FixedRandom(0.0))
    early = await caches.open(clock=clock, policy=policy, rng=FixedRandom(1.0))
    await early.get("a", source.one("a"))
    await late.get("b", source.one("b"))
    clock.advance(milliseconds=4_999)
    await asyncio.gather(late.get("a", source.one("a")), late.get("b", source.one("b")))
    assert source.loads == {"a": 1, "b": 1}
    clock.advance(milliseconds=1)
    await asyncio.gather(late.get("a", source.one("a")), late.get("b", source.one("b")))
    assert source.loads == {"a": 2, "b": 1}
    clock.advance(milliseconds=5_000)
    await late.get("b", source.one("b"))
    assert source.loads == {"a": 2, "b": 2}


async def test_a_stale_value_is_returned_while_one_process_reloads_it(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="old")
    policy = CachePolicy(fresh_ms=1_000, ttl_ms=10_000, jitter=0)
    one, other = [await caches.open(clock=clock, policy=policy) for _ in range(2)]
    await one.get("a", source.one("a"))
    source.values["a"] = "new"
    source.gate.clear()
    clock.advance(milliseconds=1_000)
    for _ in range(10):
        assert await asyncio.gather(*(c.get("a", source.one("a")) for c in (one, other))) == ["old", "old"]
    await wait_until(lambda: source.loads["a"] == 2)
    source.gate.set()
    await wait_until(lambda: key_count(one, "stored") + key_count(other, "stored") == 2)
    assert [await cache.get("a", source.one("a")) for cache in (one, other)] == ["new", "new"]
    assert source.loads == {"a": 2}
    source.values["a"] = "newest"
    clock.advance(milliseconds=10_000)  # expired
    assert await one.get("a", source.one("a")) == "newest"


async def test_a_stale_value_is_returned_while_the_source_fails(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="old")
    cache = await caches.open(clock=clock, policy=CachePolicy(fresh_ms=1_000, ttl_ms=60_000, lease_ms=5_000, jitter=0))
    await cache.get("a", source.one("a"))
    clock.advance(milliseconds=1_000)
    assert await cache.get("a", failing) == "old"
    await wait_until(lambda: key_count(cache, "load") == 2)
    assert await cache.get("a", failing) == "old"
    clock.advance(milliseconds=5_000)  # the lease of the failed load has expired
    source.values["a"] = "new"
    assert await cache.get("a", source.one("a")) == "old"
    await wait_until(lambda: key_count(cache, "stored") == 2)
    assert await cache.get("a", source.one("a")) == "new"


async def test_a_value_of_a_clock_that_was_ahead_is_loaded_again(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now() + timedelta(hours=5)), Source(a="old")
    cache = await caches.open(clock=clock, policy=CachePolicy(fresh_ms=1_000, ttl_ms=60_000, jitter=0))
    await cache.get("a", source.one("a"))
    source.values["a"] = "new"
    clock.advance(hours=-5)
    assert await cache.get("a", source.one("a")) == "new"


async def test_absence_is_cached_for_a_shorter_time(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source()
    cache = await caches.open(clock=clock, policy=CachePolicy(absent_ttl_ms=1_000, jitter=0))
    assert [await cache.get("a", source.one("a")) for _ in range(3)] == [None] * 3
    assert source.loads == {"a": 1}
    clock.advance(milliseconds=1_000)
    source.values["a"] = "1"
    assert await cache.get("a", source.one("a")) == "1"
    source.values.pop("a")
    await cache.invalidate("a")
    assert await cache.get("a", source.one("a")) is None


async def test_get_many_loads_only_what_is_missing(caches: Caches) -> None:
    names = [f"k{number}" for number in range(150)] + ["with space", "ünï\ncode", "x" * 400, "x" * 401]
    cache, source = await caches.open(), Source(**{name: f"<{name}>" for name in names})
    await cache.get_many(names[::2], source.many)
    got = await (await caches.open()).get_many([*names, "none", names[0]], source.many)
    assert got == source.values
    assert set(source.loads.values()) == {1}


async def test_each_name_and_each_schema_is_a_namespace_of_its_own(caches: Caches) -> None:
    class New(msgspec.Struct):
        value: str

    source = Source(a="1")
    await (await caches.open()).get("a", source.one("a"))
    await (await caches.open(name="others")).get("a", source.one("a"))
    assert source.loads["a"] == 2

    async def load() -> New:
        return New("1")

    assert await (await caches.open(kind=New)).get("a", load) == New("1")


async def test_a_value_loaded_before_an_invalidation_is_not_stored(caches: Caches) -> None:
    loader, changer, source = await caches.open(), await caches.open(), Source(a="old")
    source.gate.clear()
    loading = asyncio.create_task(loader.get("a", source.one("a")))
    await wait_until(lambda: source.loads["a"] == 1)
    source.values["a"] = "new"
    assert await changer.invalidate("a")
    source.gate.set()
    assert await loading == "old"  # it was requested before the invalidation
    assert [await cache.get("a", source.one("a")) for cache in (changer, loader)] == ["new", "new"]


async def test_an_invalidation_reaches_all_processes_and_no_other_key(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="old", b="1")
    await one.get_many(["a", "b"], source.many)
    source.values["a"] = "new"
    assert await other.invalidate("a", "not cached")
    for cache in (one, other, one):
        assert await cache.get_many(["a", "b"], source.many) == {"a": "new", "b": "1"}
    assert source.loads == {"a": 2, "b": 1}


async def test_a_rejected_value_is_loaded_again(caches: Caches) -> None:
    cache, source = await caches.open(), Source(a="1")
    await cache.get("a", source.one("a"))
    source.values["a"] = "2"
    assert await cache.get("a", source.one("a"), is_valid=lambda value: value >= "1") == "1"
    assert await cache.get("a", source.one("a"), is_valid=lambda value: value >= "2") == "2"
    assert await cache.get("a", source.one("a")) == "2"
    assert source.loads == {"a": 2}


async def test_a_failed_load_does_not_delay_other_calls(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="1")
    with pytest.raises(ZeroDivisionError):
        await one.get("a", failing)
    assert await other.get("a", source.one("a")) == "1"
    assert await one.get("a", failing) == "1"


async def test_a_cancelled_call_does_not_cancel_the_load_for_others(caches: Caches) -> None:
    cache, source = await caches.open(), Source(a="1")
    source.gate.clear()
    first = asyncio.create_task(cache.get("a", source.one("a")))
    await wait_until(lambda: source.loads["a"] == 1)
    second = asyncio.create_task(cache.get("a", source.one("a")))
    await wait_until(lambda: key_count(cache, "wait") == 1)
    first.cancel()
    source.gate.set()
    assert await second == "1"
    assert source.loads == {"a": 1}


async def test_a_call_that_has_waited_too_long_loads_itself(caches: Caches) -> None:
    slow, source = await caches.open(), Source(a="1")
    hasty = await caches.open(policy=CachePolicy(wait_ms=20))
    source.gate.clear()
    waiting = asyncio.create_task(slow.get("a", source.one("a")))
    await wait_until(lambda: source.loads["a"] == 1)
    assert await hasty.get("a", Source(a="1").one("a")) == "1"
    source.gate.set()
    assert await waiting == "1"


@pytest.mark.parametrize("damage", ["empty", "short", "truncated", "flipped", "other key", "garbage"])
async def test_damaged_bytes_count_as_missing(caches: Caches, damage: str) -> None:
    cache, source = await caches.open(), Source(a="1" * 50, b="2")
    await cache.get_many(["a", "b"], source.many)
    engine, namespace = engine_of(cache), cache.namespace
    stored = {key: (await engine.get_many([f"{namespace}:{key}"]))[f"{namespace}:{key}"] for key in "ab"}
    await engine.set_many({f"{namespace}:a": damaged_bytes(damage, stored)}, 60_000, missed={})
    assert await cache.get("a", source.one("a")) == "1" * 50
    assert await cache.get("a", source.one("a")) == "1" * 50
    assert source.loads == {"a": 2, "b": 1}


def damaged_bytes(damage: str, stored: Mapping[str, StoredBytes]) -> bytes:
    intact = stored["a"].value
    return {
        "empty": b"",
        "short": b"x",
        "truncated": intact[:-1],
        "flipped": intact[:-3] + bytes([intact[-3] ^ 1]) + intact[-2:],
        "other key": stored["b"].value,
        "garbage": bytes(range(256)) * 4,
    }[damage]


async def test_a_value_that_is_too_large_is_loaded_each_time(caches: Caches) -> None:
    cache = await caches.open(kind=bytes)
    limit = min(engine_of(cache).max_value_bytes, 9 << 20)
    loads = 0

    async def load() -> bytes:
        nonlocal loads
        loads += 1
        return bytes(limit + 1)

    assert [len((await cache.get("a", load)) or b"") for _ in range(3)] == [limit + 1] * 3
    assert loads == 3

    async def load_fitting() -> bytes:
        nonlocal loads
        loads += 1
        return bytes(limit - 100)

    assert [len((await cache.get("b", load_fitting)) or b"") for _ in range(3)] == [limit - 100] * 3
    assert loads == 4


async def test_three_processes_with_twenty_tasks_each_load_once(caches: Caches, tmp_path: Path) -> None:
    if not engine_of(await caches.open()).is_shared:
        cache, source = await caches.open(), Source(key="loaded")
        assert await asyncio.gather(*(cache.get("key", source.one("key")) for _ in range(60))) == ["loaded"] * 60
        assert source.loads == {"key": 1}
        return
    clients = await asyncio.gather(*(start_client(caches.url, 20, tmp_path) for _ in range(3)))
    (tmp_path / "go").touch()
    for each in clients:
        assert (await each.communicate())[0].splitlines()[-1].split() == [b"loaded"] * 20  # its log comes first
    assert len((tmp_path / "loads").read_text().split()) == 1


async def test_the_lease_of_a_killed_process_is_taken_over(caches: Caches, tmp_path: Path) -> None:
    if not engine_of(await caches.open()).is_shared:
        return  # the cache would end with the process
    killed = await start_client(caches.url, 3, tmp_path, load_s=60)
    (tmp_path / "go").touch()
    await wait_until(lambda: (tmp_path / "loads").exists())
    killed.kill()
    await killed.wait()
    cache = await caches.open(name="stampede", policy=CachePolicy(wait_ms=200))
    source = Source(key="reloaded")
    assert await asyncio.gather(*(cache.get("key", source.one("key")) for _ in range(20))) == ["reloaded"] * 20
    assert await cache.get("key", source.one("key")) == "reloaded"
    assert source.loads["key"] < 20  # several may take the lease over in turn, but not all


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("many"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.integers(1, 3), st.just(0)),
    ),
    max_size=30,
)


async def test_equals_a_dictionary_with_fewer_loads(caches: Caches) -> None:
    """Compare with a plain dict, and the number of loads with a model of which keys are cached."""
    names = [f"k{number}" for number in range(5)]
    clock, runs = ManualClock(SystemClock().now()), iter(range(10_000))

    async def check(operations: list[tuple[str, int, int]]) -> None:
        name, source, expires = f"n{next(runs)}", Source(), dict[str, int]()
        policy = CachePolicy(ttl_ms=2_500, absent_ttl_ms=1_500, jitter=0)
        both = [await caches.open(name=name, clock=clock, policy=policy) for _ in range(2)]
        now, loads, value = 0, 0, 0
        for operation, number, process in operations:
            key, cache = names[number], both[process]
            if operation in {"get", "many"}:
                wanted = names[: number + 1] if operation == "many" else [key]
                for each in wanted:
                    if expires.get(each, 0) <= now:
                        loads += 1
                        expires[each] = now + (2_500 if each in source.values else 1_500)
                assert await cache.get_many(wanted, source.many) == {
                    each: source.values[each] for each in wanted if each in source.values
                }
                assert source.loads.total() == loads
            elif operation == "wait":
                now += number * 700
                clock.advance(milliseconds=number * 700)
            else:
                value += 1
                source.values.pop(key, None) if operation == "remove" else source.values.update({key: f"v{value}"})
                expires.pop(key, None)
                assert await cache.invalidate(key)

    loop = asyncio.get_running_loop()

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(OPERATIONS)
    def run(operations: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(check(operations), loop).result()

    await asyncio.to_thread(run)


async def failing() -> str | None:
    return str(1 // 0)


async def start_client(url: str, tasks: int, folder: Path, load_s: float = 0.3) -> asyncio.subprocess.Process:
    """Start a process that is ready to read the cache."""
    arguments = [url, str(tasks), str(folder / "loads"), str(folder / "go"), str(load_s)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.cache_client", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process
