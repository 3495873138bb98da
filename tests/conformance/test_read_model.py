"""Every `ReadModel`: never behind this instance's own changes, soon level with those of others, engines or none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.conformance.cache_rig import mine, shared_url
from tests.conformance.test_title_store import NOW, SHOWN, asset, put, title
from tests.engines import fresh

from matinee.catalogue.adapters.cached import CachedReadModel
from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import Asset, Title
from matinee.catalogue.ports import Change, Changes, Listed, ReadModel, Stored
from matinee.drivers.cache import Figures
from matinee.drivers.cache.opening import open_guard
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AssetId, TitleId


class Instance:
    """One instance of the catalogue: its store, its read model, and what the read model asked of the store."""

    def __init__(self, store: SqlTitleStore) -> None:
        self.store = store
        self.loaded: list[TitleId] = []
        self.model: ReadModel

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        self.loaded += title_ids
        return await self.store.load(title_ids)

    async def asset(self, asset_id: AssetId) -> Asset | None:
        return await self.store.asset(asset_id)

    async def changed(self, since: int) -> Changes:
        return await self.store.changed(since)

    async def put(self, one: Title) -> Title:
        """A change by this instance, as the service makes it."""
        changed = await put(self.store, one)
        await self.model.catch_up()
        return changed

    async def get(self, *wanted: Title) -> list[Title]:
        found = await self.model.titles([one.title_id for one in wanted])
        return [found[one.title_id] for one in wanted if one.title_id in found]


class Opener(Protocol):
    """Opens the same house again: another instance. `shares`: whether instances share what they have read."""

    shares: bool

    async def __call__(self) -> Instance: ...


MakeModel = Callable[[Instance], Awaitable[ReadModel]]


class House:
    """A catalogue on one SQL store, opened by any number of instances."""

    def __init__(self, store_url: str, stack: AsyncExitStack, make: MakeModel, *, shares: bool = False) -> None:
        self._store_url = store_url
        self._stack = stack
        self._make = make
        self.shares = shares

    async def __call__(self) -> Instance:
        database = await self._stack.enter_async_context(Database(self._store_url))
        instance = Instance(await SqlTitleStore.open(database))
        instance.model = await self._make(instance)
        return instance


async def memory(instance: Instance) -> ReadModel:
    return MemoryReadModel(store=instance, clock=SystemClock())


def cached(url: str, stack: AsyncExitStack, limit_ms: int = 5_000) -> MakeModel:
    async def make(instance: Instance) -> ReadModel:
        clock = SystemClock()
        guard = await open_guard(url, stack=stack, figures=Figures(Metrics()), clock=clock, limit_ms=limit_ms)
        model = CachedReadModel(store=instance, guard=guard, clock=clock)
        stack.push_async_callback(model.close)
        return model

    return make


@asynccontextmanager
async def house(kind: str, folder: Path) -> AsyncIterator[House]:
    """A fresh house whose read model is of a kind."""
    store_url = f"sqlite:///{folder}/{fresh('titles')}.db"
    async with AsyncExitStack() as stack:
        match kind:
            case "memory":
                yield House(store_url, stack, memory)
            case _:
                yield House(store_url, stack, cached(shared_url(kind), stack), shares=True)


@pytest.fixture(params=["memory", "redis", "memcached"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with house(request.param, tmp_path) as one:
        yield one


async def test_titles_are_as_they_were_stored_and_those_not_there_are_left_out(opened: House) -> None:
    one = await opened()
    first, second = await one.put(title("a", synopses={"de": "Ä" * 3000})), await one.put(title("b"))
    none = title("none")
    for instance in (one, await opened(), one):
        assert await instance.get(second, none, first) == [second, first]
        assert await instance.get(none) == []


async def test_an_instance_is_never_behind_its_own_changes(opened: House) -> None:
    one, other = await opened(), await opened()
    for year in range(1990, 2010):
        changed = await one.put(title("a", year=year))
        assert await one.get(changed) == [changed]
        if year % 5 == 0:
            await other.model.catch_up()
            assert await other.get(changed) == [changed]


async def test_a_title_that_was_not_there_is_seen_when_it_is(opened: House) -> None:
    one, other = await opened(), await opened()
    late = title("late")
    assert await one.get(late) == await other.get(late) == []
    await one.put(late)
    assert await one.get(late) == [late]
    await other.model.catch_up()
    assert await other.get(late) == [late]


async def test_other_instances_are_level_after_a_moment_without_being_asked(opened: House) -> None:
    one, other = await opened(), await opened()
    await one.put(title("a", year=2000))
    await other.get(title("a"))
    new = await one.put(title("a", year=2001))
    await asyncio.sleep(1)
    assert await other.get(new) == [new]


async def test_a_list_is_shown_at_least_as_new_as_it_was_made(opened: House) -> None:
    one, other = await opened(), await opened()
    await one.put(title("a", year=2000))
    await other.get(title("a"))
    new = await one.put(title("a", year=2001))
    places = await one.store.browse(SHOWN, None, 10)
    assert await other.model.listed(places) == [new]
    gone = Listed(title_id=ids.derived(TitleId, "gone"), revision=1, at=NOW)
    assert await other.model.listed([gone, *places, gone]) == [new]
    assert await other.model.listed([]) == []


async def test_assets_are_those_of_now(opened: House) -> None:
    one, other = await opened(), await opened()
    film = title("a")
    first = asset(film)
    assert await one.model.asset(first.asset_id) is None
    await one.store.change(film.title_id, lambda *_: Change(title=film, asset=first), NOW)
    for instance in (one, other):
        await instance.model.catch_up()
        assert await instance.model.asset(first.asset_id) == first
    again = replace(first, duration_ms=first.duration_ms + 1)
    await one.store.change(film.title_id, lambda *_: Change(title=film, asset=again), NOW)
    for instance in (one, other):
        await instance.model.catch_up()
        assert await instance.model.asset(first.asset_id) == again


async def test_what_one_instance_has_read_another_need_not(opened: House) -> None:
    one = await opened()
    titles = [await one.put(title(f"t{number}")) for number in range(30)]
    await (await opened()).get(*titles)
    late = await opened()
    assert await late.get(*titles) == titles
    assert len(late.loaded) == (0 if opened.shares else len(titles))
    new = await one.put(title("t7", year=1999))
    await late.model.catch_up()
    assert await late.get(*titles) == [*titles[:7], new, *titles[8:]]
    assert set(late.loaded) >= ({new.title_id})


async def test_many_who_ask_at_once_are_right_while_all_changes(opened: House) -> None:
    """A history: nobody is behind what its own instance has changed, however reads and changes fall together."""
    instances = [await opened() for _ in range(3)]
    years = dict.fromkeys(range(3), 0)
    done = asyncio.Event()

    async def change(number: int) -> None:
        for year in range(1, 40):
            await instances[number].put(title(f"t{number}", year=year))
            years[number] = year
        done.set()

    async def read(number: int) -> None:
        while not done.is_set():
            least = years[number]
            found = await instances[number].get(title(f"t{number}"))
            assert (found[0].year if found else 0) >= least  # type: ignore[operator]
            await asyncio.sleep(0)

    await asyncio.gather(*(change(number) for number in range(3)), *(read(number) for number in range(3) for _ in "12"))


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "many"]), st.integers(0, 3), st.integers(0, 1)), max_size=25
)


async def test_it_is_the_store_itself_as_far_as_anyone_can_tell(opened: House) -> None:
    """Against a plain dict."""
    names = [f"m{number}" for number in range(4)]
    both = [await opened() for _ in range(2)]
    model: dict[TitleId, Title] = {}
    years = iter(range(100_000))

    async def check(operations: list[tuple[str, int, int]]) -> None:
        for what, number, who in operations:
            if what == "put":
                one = title(names[number], year=next(years))
                model[one.title_id] = await both[who].put(one)
                await both[1 - who].model.catch_up()
            else:
                wanted = [title(name) for name in (names[: number + 1] if what == "many" else [names[number]])]
                assert await both[who].get(*wanted) == [model[w.title_id] for w in wanted if w.title_id in model]

    loop = asyncio.get_running_loop()

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(OPERATIONS)
    def run(operations: list[tuple[str, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(check(operations), loop).result()

    await asyncio.to_thread(run)


@pytest.mark.parametrize("kind", ["redis", "ring"])
async def test_a_cache_that_comes_and_goes_changes_no_answer(kind: str, tmp_path: Path) -> None:
    """Killed, hanging, back with old values: read models above it answer as if it were well."""
    with mine(kind, tmp_path) as engines:
        async with AsyncExitStack() as stack:
            opened = House(f"sqlite:///{tmp_path}/titles.db", stack, cached(engines.url, stack, limit_ms=200))
            one = await opened()
            titles = [await one.put(title(f"t{number}", year=0)) for number in range(10)]
            harms: list[Callable[[Any], Any]] = [
                lambda each: each.pause(),
                lambda each: each.resume(),
                lambda each: each.kill(),
                lambda each: each.start(),
            ]
            for year, harm in enumerate(harms, start=1):
                late = await opened()
                assert await late.get(*titles) == titles
                engines.all(harm)
                titles[year] = await one.put(title(f"t{year}", year=year))
                for instance in (one, await opened(), await opened()):
                    assert await instance.get(*titles) == titles
