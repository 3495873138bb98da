"""Every cache engine under the one policy: what is handed out is right, whatever becomes of the engine."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.cache_rig import Caches, Mine, Source, counted, engine_of, mine, shared_url, until
from tests.engines import unique_name

from matinee.drivers.cache import Held, Policy
from matinee.kit.clock import ManualClock, SystemClock

KINDS = ("memory", "redis", "memcached", "ring")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    with mine("ring", tmp_path_factory.mktemp("ring")) as four:
        yield four


@pytest.fixture(params=KINDS)
async def caches(request: pytest.FixtureRequest) -> AsyncIterator[Caches]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            url = "memory://"
        elif request.param == "ring":
            four: Mine = request.getfixturevalue("ring")
            four.namespace = unique_name("cache")
            url = four.url
        else:
            url = shared_url(request.param)
        yield Caches(url, stack)


async def test_a_value_is_loaded_once_and_seen_by_all(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="1")
    assert [await cache.get("a", source.one("a")) for cache in (one, other, one)] == ["1", "1", "1"]
    assert source.asked == {"a": 1}
    assert (counted(one, "load"), counted(other, "hit"), counted(one, "hit")) == (1, 1, 1)


async def test_a_value_ends_with_its_time_less_the_jitter(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="1", b="1")
    policy = Policy(ttl_ms=10_000, jitter=0.5)
    late = await caches.open(clock=clock, policy=policy, draw=lambda: 0.0)
    early = await caches.open(clock=clock, policy=policy, draw=lambda: 1.0)
    await early.get("a", source.one("a"))
    await late.get("b", source.one("b"))
    clock.advance(milliseconds=4_999)
    await asyncio.gather(late.get("a", source.one("a")), late.get("b", source.one("b")))
    assert source.asked == {"a": 1, "b": 1}
    clock.advance(milliseconds=1)
    await asyncio.gather(late.get("a", source.one("a")), late.get("b", source.one("b")))
    assert source.asked == {"a": 2, "b": 1}
    clock.advance(milliseconds=5_000)
    await late.get("b", source.one("b"))
    assert source.asked == {"a": 2, "b": 2}


async def test_a_stale_value_is_handed_out_while_one_loads_it_anew(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="old")
    policy = Policy(fresh_ms=1_000, ttl_ms=10_000, jitter=0)
    one, other = [await caches.open(clock=clock, policy=policy) for _ in range(2)]
    await one.get("a", source.one("a"))
    source.values["a"] = "new"
    source.gate.clear()
    clock.advance(milliseconds=1_000)
    for _ in range(10):
        assert await asyncio.gather(*(c.get("a", source.one("a")) for c in (one, other))) == ["old", "old"]
    await until(lambda: source.asked["a"] == 2)
    source.gate.set()
    await until(lambda: counted(one, "kept") + counted(other, "kept") == 2)
    assert [await cache.get("a", source.one("a")) for cache in (one, other)] == ["new", "new"]
    assert source.asked == {"a": 2}
    source.values["a"] = "newest"
    clock.advance(milliseconds=10_000)  # too old to be handed out at all
    assert await one.get("a", source.one("a")) == "newest"


async def test_a_stale_value_stands_while_the_source_fails(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source(a="old")
    cache = await caches.open(clock=clock, policy=Policy(fresh_ms=1_000, ttl_ms=60_000, lease_ms=5_000, jitter=0))
    await cache.get("a", source.one("a"))
    clock.advance(milliseconds=1_000)
    assert await cache.get("a", failing) == "old"
    await until(lambda: counted(cache, "load") == 2)
    assert await cache.get("a", failing) == "old"
    clock.advance(milliseconds=5_000)  # the lease of who failed is over
    source.values["a"] = "new"
    assert await cache.get("a", source.one("a")) == "old"
    await until(lambda: counted(cache, "kept") == 2)
    assert await cache.get("a", source.one("a")) == "new"


async def test_that_there_is_none_is_remembered_for_a_shorter_time(caches: Caches) -> None:
    clock, source = ManualClock(SystemClock().now()), Source()
    cache = await caches.open(clock=clock, policy=Policy(none_ms=1_000, jitter=0))
    assert [await cache.get("a", source.one("a")) for _ in range(3)] == [None] * 3
    assert source.asked == {"a": 1}
    clock.advance(milliseconds=1_000)
    source.values["a"] = "1"
    assert await cache.get("a", source.one("a")) == "1"
    source.values.pop("a")
    await cache.invalidate("a")
    assert await cache.get("a", source.one("a")) is None


async def test_many_are_got_at_once_and_only_those_missing_are_loaded(caches: Caches) -> None:
    names = [f"k{number}" for number in range(150)] + ["with space", "ünï\ncode", "x" * 400, "x" * 401]
    cache, source = await caches.open(), Source(**{name: f"<{name}>" for name in names})
    await cache.get_many(names[::2], source.many)
    got = await (await caches.open()).get_many([*names, "none", names[0]], source.many)
    assert got == source.values
    assert set(source.asked.values()) == {1}


async def test_a_namespace_of_another_name_encoding_or_version_is_not_seen(caches: Caches) -> None:
    class New(msgspec.Struct):
        value: str

    source, text = Source(a="1"), await caches.open()
    await text.get("a", source.one("a"))
    await (await caches.open(name="others")).get("a", source.one("a"))
    assert source.asked["a"] == 2

    async def load() -> New:
        return New("1")

    assert await (await caches.open(kind=New)).get("a", load) == New("1")
    other = await caches.open()
    assert await text.bump()
    assert await other.get("a", source.one("a")) == "1"
    assert source.asked["a"] == 3
    assert await text.get("a", source.one("a")) == "1"
    assert source.asked["a"] == 3


async def test_what_was_loaded_before_an_invalidation_is_never_kept(caches: Caches) -> None:
    loader, changer, source = await caches.open(), await caches.open(), Source(a="old")
    source.gate.clear()
    loading = asyncio.create_task(loader.get("a", source.one("a")))
    await until(lambda: source.asked["a"] == 1)
    source.values["a"] = "new"
    assert await changer.invalidate("a")
    source.gate.set()
    assert await loading == "old"  # it was asked for before
    assert [await cache.get("a", source.one("a")) for cache in (changer, loader)] == ["new", "new"]


async def test_nor_is_what_was_loaded_before_a_new_version(caches: Caches) -> None:
    loader, changer, source = await caches.open(), await caches.open(), Source(a="old")
    await changer.get("other", source.one("other"))
    source.gate.clear()
    loading = asyncio.create_task(loader.get("a", source.one("a")))
    await until(lambda: source.asked["a"] == 1)
    source.values["a"] = "new"
    assert await changer.bump()
    source.gate.set()
    await loading
    assert [await cache.get("a", source.one("a")) for cache in (changer, loader)] == ["new", "new"]


async def test_an_invalidation_reaches_all_and_takes_nothing_else_along(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="old", b="1")
    await one.get_many(["a", "b"], source.many)
    source.values["a"] = "new"
    assert await other.invalidate("a", "never there")
    for cache in (one, other, one):
        assert await cache.get_many(["a", "b"], source.many) == {"a": "new", "b": "1"}
    assert source.asked == {"a": 2, "b": 1}


async def test_what_does_not_suit_is_loaded_anew(caches: Caches) -> None:
    cache, source = await caches.open(), Source(a="1")
    await cache.get("a", source.one("a"))
    source.values["a"] = "2"
    assert await cache.get("a", source.one("a"), valid=lambda value: value >= "1") == "1"
    assert await cache.get("a", source.one("a"), valid=lambda value: value >= "2") == "2"
    assert await cache.get("a", source.one("a")) == "2"
    assert source.asked == {"a": 2}


async def test_one_who_fails_holds_up_nobody(caches: Caches) -> None:
    one, other, source = await caches.open(), await caches.open(), Source(a="1")
    with pytest.raises(ZeroDivisionError):
        await one.get("a", failing)
    assert await other.get("a", source.one("a")) == "1"
    assert await one.get("a", failing) == "1"


async def test_one_who_gives_up_does_not_take_the_value_from_the_others(caches: Caches) -> None:
    cache, source = await caches.open(), Source(a="1")
    source.gate.clear()
    first = asyncio.create_task(cache.get("a", source.one("a")))
    await until(lambda: source.asked["a"] == 1)
    second = asyncio.create_task(cache.get("a", source.one("a")))
    await until(lambda: counted(cache, "wait") == 1)
    first.cancel()
    source.gate.set()
    assert await second == "1"
    assert source.asked == {"a": 1}


async def test_one_who_waits_too_long_loads(caches: Caches) -> None:
    slow, source = await caches.open(), Source(a="1")
    hasty = await caches.open(policy=Policy(wait_ms=20))
    source.gate.clear()
    asleep = asyncio.create_task(slow.get("a", source.one("a")))
    await until(lambda: source.asked["a"] == 1)
    assert await hasty.get("a", Source(a="1").one("a")) == "1"
    source.gate.set()
    assert await asleep == "1"


@pytest.mark.parametrize("lie", ["", "short", "cut", "flipped", "another's", "garbage"])
async def test_bytes_that_lie_are_not_believed(caches: Caches, lie: str) -> None:
    cache, source = await caches.open(), Source(a="1" * 50, b="2")
    await cache.get_many(["a", "b"], source.many)
    engine, space = engine_of(cache), cache.space
    held = {key: (await engine.get_many([f"{space}:{key}"]))[f"{space}:{key}"] for key in "ab"}
    await engine.set_many({f"{space}:a": lied(lie, held)}, 60_000)
    assert await cache.get("a", source.one("a")) == "1" * 50
    assert await cache.get("a", source.one("a")) == "1" * 50
    assert source.asked == {"a": 2, "b": 1}


def lied(lie: str, held: Mapping[str, Held]) -> bytes:
    true = held["a"].value
    flipped = true[:-3] + bytes([true[-3] ^ 1]) + true[-2:]
    lies = {"": b"", "short": b"x", "cut": true[:-1], "flipped": flipped, "another's": held["b"].value}
    return lies.get(lie, bytes(range(256)) * 4)


async def test_a_value_that_is_too_big_is_loaded_each_time(caches: Caches) -> None:
    cache = await caches.open(kind=bytes)
    limit = min(engine_of(cache).value_limit, 9 << 20)
    loads = 0

    async def load() -> bytes:
        nonlocal loads
        loads += 1
        return bytes(limit + 1)

    assert [len((await cache.get("a", load)) or b"") for _ in range(3)] == [limit + 1] * 3
    assert loads == 3

    async def fits() -> bytes:
        nonlocal loads
        loads += 1
        return bytes(limit - 100)

    assert [len((await cache.get("b", fits)) or b"") for _ in range(3)] == [limit - 100] * 3
    assert loads == 4


async def test_three_processes_of_twenty_tasks_load_once(caches: Caches, tmp_path: Path) -> None:
    if not engine_of(await caches.open()).shared:
        cache, source = await caches.open(), Source(key="loaded")
        assert await asyncio.gather(*(cache.get("key", source.one("key")) for _ in range(60))) == ["loaded"] * 60
        assert source.asked == {"key": 1}
        return
    clients = await asyncio.gather(*(client(caches.url, 20, tmp_path) for _ in range(3)))
    (tmp_path / "go").touch()
    for each in clients:
        assert (await each.communicate())[0].splitlines()[-1].split() == [b"loaded"] * 20  # what comes first is its log
    assert len((tmp_path / "loads").read_text().split()) == 1


async def test_a_loader_that_is_killed_is_replaced(caches: Caches, tmp_path: Path) -> None:
    if not engine_of(await caches.open()).shared:
        return  # it would take its cache along
    killed = await client(caches.url, 3, tmp_path, slow_s=60)
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "loads").exists())
    killed.kill()
    await killed.wait()
    cache = await caches.open(name="stampede", policy=Policy(wait_ms=200))
    source = Source(key="anew")
    assert await asyncio.gather(*(cache.get("key", source.one("key")) for _ in range(20))) == ["anew"] * 20
    assert await cache.get("key", source.one("key")) == "anew"
    assert source.asked["key"] < 20  # some took the lease over from one another; not everyone loaded


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("many"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.integers(0, 1)),
        st.tuples(st.just("bump"), st.just(0), st.integers(0, 1)),
        st.tuples(st.just("wait"), st.integers(1, 3), st.just(0)),
    ),
    max_size=30,
)


async def test_it_is_a_dictionary_that_is_asked_less_often(caches: Caches) -> None:
    """Against a plain dict, and a model of which keys a cache still has: also the number of loads is right."""
    names = [f"k{number}" for number in range(5)]
    clock, runs = ManualClock(SystemClock().now()), iter(range(10_000))

    async def check(operations: list[tuple[str, int, int]]) -> None:
        name, source, kept = f"n{next(runs)}", Source(), dict[str, int]()
        policy = Policy(ttl_ms=2_500, none_ms=1_500, jitter=0)
        both = [await caches.open(name=name, clock=clock, policy=policy) for _ in range(2)]
        now, loads, value = 0, 0, 0
        for what, number, who in operations:
            key, cache = names[number], both[who]
            if what in {"get", "many"}:
                asked = names[: number + 1] if what == "many" else [key]
                for each in asked:
                    if kept.get(each, 0) <= now:
                        loads += 1
                        kept[each] = now + (2_500 if each in source.values else 1_500)
                assert await cache.get_many(asked, source.many) == {
                    each: source.values[each] for each in asked if each in source.values
                }
                assert source.asked.total() == loads
            elif what == "wait":
                now += number * 700
                clock.advance(milliseconds=number * 700)
            elif what == "bump":
                kept.clear()
                assert await cache.bump()
            else:
                value += 1
                source.values.pop(key, None) if what == "remove" else source.values.update({key: f"v{value}"})
                kept.pop(key, None)
                assert await cache.invalidate(key)

    loop = asyncio.get_running_loop()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(OPERATIONS)
    def run(operations: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(check(operations), loop).result()

    await asyncio.to_thread(run)


async def failing() -> str | None:
    return str(1 // 0)


async def client(url: str, tasks: int, folder: Path, slow_s: float = 0.3) -> asyncio.subprocess.Process:
    """A process that reads the cache, ready to go."""
    said = [url, str(tasks), str(folder / "loads"), str(folder / "go"), str(slow_s)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.cache_client", *said, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process
