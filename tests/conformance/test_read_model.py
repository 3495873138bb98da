"""Every `ReadModel`: never behind its own changes, a second behind others', of use while the store is away.

A read model of another engine is one more entry in `OPENERS`.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.engines import shared_engine, slow_proxy

from matinee.catalogue.adapters.cassandra import CassandraTitleSource
from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import CHANGES_LIMIT, SqlTitleStore
from matinee.catalogue.api import Asset, RightsWindow, Title
from matinee.catalogue.ports import Change, ListEntry, ReadModel, StoredTitle, TitleFilter, TitleStore
from matinee.drivers.cassandra import Cassandra
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.sql import Database
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AssetId, TitleId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Opener = Callable[[], Awaitable[ReadModel]]


class Reached:
    """A `TitleStore` that can be out of reach."""

    def __init__(self, store: TitleStore) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise EngineUnavailable(engine="store")
        return getattr(self._store, name)


class Rig:
    """A store, a clock, and read models above them. `open`: one more instance; all share what their engine keeps."""

    def __init__(self, store: SqlTitleStore, stack: AsyncExitStack) -> None:
        self.real = store
        self.store: Any = Reached(store)
        self.clock = ManualClock(NOW)
        self.stack = stack
        self.url = ""
        self.open: Opener

    async def put(self, one: Title, asset: Asset | None = None) -> Title:
        return await self.real.change(one.title_id, lambda *_: Change(title=one, asset=asset), self.clock.now())

    async def list_entries(self, *titles: Title) -> list[ListEntry]:
        found: list[StoredTitle] = await self.real.load([one.title_id for one in titles])
        return [ListEntry(title_id=one.title.title_id, revision=one.revision, at=NOW) for one in found]


async def build_memory(rig: Rig) -> ReadModel:
    return MemoryReadModel(store=rig.store, clock=rig.clock)


async def build_cassandra(rig: Rig) -> CassandraTitleSource:
    rig.url = rig.url or shared_engine("cassandra").url("catalogue")
    cassandra = await rig.stack.enter_async_context(Cassandra(rig.url, lazy=True))
    source = CassandraTitleSource(cassandra, store=rig.store)
    rig.stack.push_async_callback(source.close)
    return source


async def build_memory_over_cassandra(rig: Rig) -> ReadModel:
    return MemoryReadModel(store=await build_cassandra(rig), clock=rig.clock)


OPENERS: dict[str, Callable[[Rig], Awaitable[ReadModel]]] = {
    "memory": build_memory,
    "memory over cassandra": build_memory_over_cassandra,
}


@pytest.fixture(params=OPENERS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(f"sqlite:///{tmp_path}/catalogue.db"))
        made = Rig(await SqlTitleStore.open(database), stack)
        made.open = lambda: OPENERS[request.param](made)
        yield made


def title(name: str, version: int = 0, **fields: Any) -> Title:
    title_id = ids.derive(TitleId, name)
    return Title(title_id=title_id, kind="film", names={"en": f"{name} {version}"}, original_language="en", **fields)


def asset(of: Title, tag: str = "") -> Asset:
    asset_id = ids.derive(AssetId, of.title_id, tag)
    return Asset(asset_id=asset_id, title_id=of.title_id, prefix=f"assets/{asset_id}/", duration_ms=40_547, video=[])


async def put_published(rig: Rig, name: str, maturity: int) -> Title:
    one = title(name, state="published", maturity=maturity, published_at=NOW, rights=[RightsWindow(territory="*")])
    return await rig.put(replace(one, asset_id=asset(one).asset_id), asset(one))


async def read(model: ReadModel, *names: str) -> dict[str, str]:
    """The titles' names in English, by what they were called first."""
    found = await model.titles([ids.derive(TitleId, name) for name in names])
    return {name: one.names["en"] for name in names if (one := found.get(ids.derive(TitleId, name)))}


async def test_stored_titles_are_read_and_missing_ones_are_not(rig: Rig) -> None:
    one = title("a")
    kept = asset(one)
    await rig.put(replace(one, asset_id=kept.asset_id), kept)
    for model in (await rig.open(), await rig.open()):
        for _ in range(2):
            assert await model.titles([one.title_id, ids.derive(TitleId, "none")]) == {
                one.title_id: replace(one, asset_id=kept.asset_id)
            }
            assert await model.asset(kept.asset_id) == kept
            assert await model.asset(ids.derive(AssetId, "none")) is None
            assert await model.titles([TitleId("not an id")]) == {}
            assert await model.asset(AssetId("not an id")) is None


async def test_instance_reads_its_own_changes(rig: Rig) -> None:
    model = await rig.open()
    for version in range(20):
        await rig.put(title("a", version))
        await model.catch_up()
        assert await read(model, "a") == {"a": f"a {version}"}


async def test_replaced_and_former_assets_are_read(rig: Rig) -> None:
    model, one = await rig.open(), title("a")
    first = asset(one)
    await rig.put(replace(one, asset_id=first.asset_id), first)
    assert await model.asset(first.asset_id) == first
    longer = replace(first, duration_ms=50_000)
    await rig.put(replace(one, asset_id=first.asset_id), longer)
    await model.catch_up()
    assert await model.asset(first.asset_id) == longer
    second = asset(one, "second")
    await rig.put(replace(one, asset_id=second.asset_id), second)
    await model.catch_up()
    assert (await model.asset(first.asset_id), await model.asset(second.asset_id)) == (longer, second)


async def test_other_instances_see_a_change_within_a_second(rig: Rig) -> None:
    here, there = await rig.open(), await rig.open()
    for version in range(5):
        await rig.put(title("a", version))
        await here.catch_up()
        rig.clock.advance(seconds=1)
        assert await read(there, "a") == {"a": f"a {version}"}


async def test_list_entries_are_read_at_their_revision_or_later(rig: Rig) -> None:
    model = await rig.open()
    for version in range(5):
        titles = [title("a", version), title("b", version), title(f"new {version}")]
        for one in titles:
            await rig.put(one)
        list_entries = await rig.list_entries(*titles)
        assert {one.title_id: one for one in await model.load_entries(list_entries)} == {
            one.title_id: one for one in titles
        }


async def test_lists_are_those_of_the_last_half_second_and_of_the_filter(rig: Rig) -> None:
    here, there = await rig.open(), await rig.open()
    for_all, for_adults = await put_published(rig, "a", 0), await put_published(rig, "b", 18)

    async def browse(model: ReadModel, maturity: int, limit: int = 9) -> list[TitleId]:
        wanted = TitleFilter(territory="DE", maturity=maturity, now=NOW)
        return sorted(entry.title_id for entry in await model.browse(wanted, None, limit))

    both = sorted([for_all.title_id, for_adults.title_id])
    for _ in range(2):
        assert [await browse(there, maturity) for maturity in (18, 0)] == [both, [for_all.title_id]]
        assert len(await browse(there, 18, limit=1)) == 1
    await rig.put(replace(for_all, state="withdrawn"))
    await here.catch_up()
    assert await browse(here, 18) == [for_adults.title_id]
    rig.clock.advance(milliseconds=500)
    assert [await browse(there, maturity) for maturity in (18, 0)] == [[for_adults.title_id], []]
    await rig.put(for_all)
    rig.clock.advance(hours=-1)
    assert await browse(there, 0) == [for_all.title_id]


async def test_use_ends_a_wait(rig: Rig) -> None:
    model = await rig.open()
    waiting = asyncio.create_task(model.wait_for_use(3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    await model.titles([])
    await waiting
    await model.wait_for_use(0)


async def test_cached_titles_are_read_while_store_is_unavailable(rig: Rig) -> None:
    model, one = await rig.open(), title("a")
    kept = asset(one)
    await rig.put(replace(one, asset_id=kept.asset_id), kept)
    await model.catch_up()
    await read(model, "a")
    await model.asset(kept.asset_id)
    rig.store.away = True
    rig.clock.advance(seconds=10)
    assert await read(model, "a") == {"a": "a 0"}
    assert await model.asset(kept.asset_id) == kept
    rig.store.away = False
    await rig.put(title("a", 1))
    rig.clock.advance(seconds=1)
    assert await read(model, "a") == {"a": "a 1"}


@pytest.mark.parametrize("rig", ["memory over cassandra"], indirect=True)
async def test_new_instance_reads_projection_while_store_is_unavailable(rig: Rig) -> None:
    model, one = await rig.open(), title("a")
    kept = asset(one)
    await rig.put(replace(one, asset_id=kept.asset_id), kept)
    for _ in range(100):
        await model.catch_up()  # the rows may be written behind it
        rig.store.away = False
        new = await rig.open()
        rig.store.away = True
        with contextlib.suppress(EngineUnavailable):
            if await read(new, "a") and await new.asset(kept.asset_id):
                break
        rig.store.away = False
    assert (await read(new, "a"), await new.asset(kept.asset_id)) == ({"a": "a 0"}, kept)


@pytest.mark.parametrize("rig", ["memory over cassandra"], indirect=True)
async def test_engine_unavailable_at_start_is_used_once_available(rig: Rig) -> None:
    await rig.put(title("a"))
    async with slow_proxy(shared_engine("cassandra").url("catalogue")) as proxy:
        proxy.disconnect()
        rig.url = proxy.url
        source = await build_cassandra(rig)
        wanted = [title("a").title_id]
        await source.list_changes(0)
        assert [one.title for one in await source.load(wanted)] == [title("a")]
        assert not source.is_serving
        proxy.restore()
        async with asyncio.timeout(60):
            while not source.is_serving:
                await source.list_changes(0)
                await asyncio.sleep(0.1)
        assert [one.title for one in await source.load(wanted)] == [title("a")]
        await source.close()


async def test_truncated_changes_refresh_all_titles(rig: Rig) -> None:
    model = await rig.open()
    await rig.put(title("t0"))
    assert await read(model, "t0") == {"t0": "t0 0"}
    names = [f"t{n}" for n in range(CHANGES_LIMIT + 20)]
    await asyncio.gather(*(rig.put(title(name, 1)) for name in names))
    await model.catch_up()
    assert await read(model, *names) == {name: f"{name} 1" for name in names}
    for version in range(2, 6):
        await rig.put(title("t7", version))
        await model.catch_up()
        assert await read(model, "t7", "t8") == {"t7": f"t7 {version}", "t8": "t8 1"}
        await asyncio.sleep(0.1)
    rig.clock.advance(seconds=1)
    assert await read(model, *names) == {name: f"{name} 1" for name in names} | {"t7": "t7 5"}


async def test_several_instances_behave_like_a_dict(rig: Rig) -> None:
    """Each changes and reads as chance will have it: its own changes at once, the others' after a second."""
    rng, models, plain = random.Random(7), [await rig.open() for _ in range(3)], dict[str, str]()

    for version in range(60):
        name, model = f"t{rng.randrange(6)}", rng.choice(models)
        await rig.put(title(name, version))
        plain[name] = f"{name} {version}"
        await model.catch_up()
        assert await read(model, *(f"t{n}" for n in range(6))) == plain
        if version % 10 == 9:
            rig.clock.advance(seconds=1)
            for model in models:
                assert await read(model, *plain) == plain


async def test_concurrent_changes_converge_on_all_instances(rig: Rig) -> None:
    models = [await rig.open() for _ in range(3)]

    async def change(version: int) -> None:
        await rig.put(title(f"t{version % 5}", version))
        await models[version % 3].catch_up()

    await asyncio.gather(*(change(version) for version in range(60)))
    rig.clock.advance(seconds=1)
    stored = {one.title.title_id: one.title for one in await rig.real.load([title(f"t{n}").title_id for n in range(5)])}
    for model in [*models, await rig.open()]:
        await model.catch_up()
        assert await model.titles(list(stored)) == stored
