"""Cassandra's driver and adapters: schema, deadlines, failures, a store restored from a backup."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engines import shared_engine, slow_proxy, unique_name

from matinee.catalogue.adapters.cassandra import CassandraTitleSource
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import Title
from matinee.catalogue.ports import Change
from matinee.drivers.cassandra import Cassandra, Query
from matinee.drivers.cassandra_schema import migrate
from matinee.drivers.engine import EngineUnavailable, SchemaAhead, StoreEmpty
from matinee.drivers.sql import Database
from matinee.kit import context, ids
from matinee.kit.clock import ManualClock, SystemClock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, TitleId
from matinee.kit.problem import DeadlineExceeded, Invalid
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position

STEPS = (
    "CREATE TABLE IF NOT EXISTS things (k int PRIMARY KEY, v text)",
    "ALTER TABLE things ADD IF NOT EXISTS w text",
)
PUT = Query("INSERT INTO things (k, v) VALUES (?, ?)")
GET = Query("SELECT v FROM things WHERE k = ?")
CHANGE = Query("UPDATE things SET v = ? WHERE k = ? IF EXISTS", idempotent=False)


@pytest.fixture(scope="module")
def url() -> str:
    return shared_engine("cassandra").url("driver")


async def test_concurrent_processes_create_a_keyspace_and_migrate_it(url: str) -> None:
    new = url.replace(url.rpartition("/")[2].partition("?")[0], unique_name("new")) + "&replication=1"

    async def migrate_and_write(n: int) -> None:
        # Long limits, because five changes of the schema take a busy machine long.
        async with Cassandra(new, limit_s=120, attempt_s=30) as cassandra:
            await migrate(cassandra, "things", STEPS)
            await cassandra.execute(PUT, n, "x")
            await cassandra.check()

    await asyncio.gather(*(migrate_and_write(n) for n in range(5)))
    async with Cassandra(new) as cassandra:
        assert [await cassandra.fetch(GET, n) for n in range(5)] == [[("x",)]] * 5
        with pytest.raises(SchemaAhead):
            await migrate(cassandra, "things", STEPS[:1])
        await migrate(cassandra, "things", STEPS)
        await cassandra.change_schema("DROP TABLE schema_version")
        with pytest.raises(StoreEmpty):
            await cassandra.check()
        await cassandra.change_schema("DROP TABLE things")
        with pytest.raises(StoreEmpty):
            await cassandra.execute(PUT, 1, "x")
        await cassandra.change_schema(f"DROP KEYSPACE {cassandra.keyspace}")
        with pytest.raises(StoreEmpty):
            await cassandra.check()


async def test_missing_engine_and_invalid_urls_are_reported() -> None:
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:1"):
        async with Cassandra("cassandra://127.0.0.1:1/things"):
            pass
    for wrong in ("cassandra://127.0.0.1:1/", "cassandra://a:1,b:2/things", "cassandra://a:1/x;y"):
        with pytest.raises(ValueError, match="keyspace"):
            Cassandra(wrong)


async def test_slow_engine_costs_the_deadline_and_a_lost_one_is_found_again(url: str) -> None:
    async with slow_proxy(url) as proxy, Cassandra(proxy.url, limit_s=5) as cassandra:
        async with Cassandra(url) as near:
            await migrate(near, "things", STEPS)
        await cassandra.execute(PUT, 1, "before")
        proxy.delay_s = 60.0
        with pytest.raises(EngineUnavailable), context.with_timeout(200):
            await cassandra.fetch(GET, 1)
        with pytest.raises(EngineUnavailable):
            await cassandra.execute(PUT, 1, "slow")
        with pytest.raises(DeadlineExceeded), context.with_timeout(0):
            await cassandra.fetch(GET, 1)
        proxy.delay_s = 0.0
        proxy.disconnect()
        with pytest.raises(EngineUnavailable):
            await cassandra.fetch(GET, 1)
        proxy.restore()
        assert await _fetch_when_available(cassandra) in {"before", "slow"}
        await cassandra.execute(PUT, 1, "after")
        assert await cassandra.fetch(GET, 1) == [("after",)]


async def test_statement_that_was_not_sent_is_sent_once_there_is_a_connection(url: str) -> None:
    async with slow_proxy(url) as proxy, Cassandra(proxy.url, limit_s=120) as cassandra:
        async with Cassandra(url) as near:
            await migrate(near, "things", STEPS)
            await near.execute(PUT, 7, "before")
        await cassandra.fetch(GET, 7)
        proxy.disconnect()
        with pytest.raises(EngineUnavailable), context.with_timeout(1500):
            await cassandra.fetch(GET, 7)  # so that the driver has lost its connections
        changing = asyncio.create_task(cassandra.execute_conditional(CHANGE, "after", 7))
        await asyncio.sleep(0)
        proxy.restore()
        assert await changing
        assert await cassandra.fetch(GET, 7) == [("after",)]


async def _fetch_when_available(cassandra: Cassandra) -> str:
    for _ in range(600):
        with contextlib.suppress(EngineUnavailable):
            return str((await cassandra.fetch(GET, 1))[0][0])
        await asyncio.sleep(0.1)
    raise AssertionError("Cassandra stays unavailable")


@pytest.fixture
async def cassandra(url: str) -> AsyncIterator[Cassandra]:
    async with Cassandra(url) as client:
        yield client


def position(at: datetime) -> Position:
    return Position(
        account_id=ids.derive(AccountId, "a"),
        profile_id=ids.derive(ProfileId, "a"),
        title_id=ids.derive(TitleId, "a"),
        position_ms=1,
        duration_ms=2,
        updated_at=at,
        device_id=DeviceId("dev"),
    )


async def test_position_from_a_clock_that_is_ahead_is_replaced(cassandra: Cassandra) -> None:
    clock = ManualClock(SystemClock().now() + timedelta(days=400))
    wrong = await CassandraViewingStore.open(cassandra, clock)
    right = await CassandraViewingStore.open(cassandra, SystemClock())
    ahead = position(clock.now())
    stands = await wrong.save(ahead, now=clock.now())
    assert stands.updated_at < datetime.now(UTC) + timedelta(minutes=1)
    later = position(stands.updated_at + timedelta(seconds=1))
    assert await right.save(later, now=later.updated_at) == later
    assert await wrong.list_by_titles(later.account_id, later.profile_id, [later.title_id]) == [later]


async def test_clock_that_is_set_is_compared_again(cassandra: Cassandra) -> None:
    clock = ManualClock(SystemClock().now())
    store = await CassandraViewingStore.open(cassandra, clock)
    for days in (0, 400):
        now = clock.advance(days=days)
        stands = await store.save(position(now), now=now)
        assert stands.updated_at < datetime.now(UTC) + timedelta(minutes=1)


async def test_invalid_id_is_refused(cassandra: Cassandra) -> None:
    store = await CassandraViewingStore.open(cassandra, SystemClock())
    for title_id in ("film", ids.derive(AccountId, "a"), "tit_x"):
        odd = msgspec.structs.replace(position(datetime.now(UTC)), title_id=TitleId(title_id))
        with pytest.raises(Invalid):
            await store.save(odd, now=odd.updated_at)
        assert await store.list_by_titles(odd.account_id, odd.profile_id, [odd.title_id]) == []


class Titles:
    """A catalogue's store on SQLite that can be unavailable."""

    def __init__(self, store: SqlTitleStore) -> None:
        self.store = store
        self.is_unavailable = False

    def __getattr__(self, name: str) -> Any:
        if self.is_unavailable:
            raise EngineUnavailable(engine="store")
        return getattr(self.store, name)

    async def put(self, *names: str, version: int = 0) -> list[Title]:
        titles = [
            Title(
                title_id=ids.derive(TitleId, name),
                kind="film",
                names={"en": f"{name} {version}"},
                original_language="en",
            )
            for name in names
        ]
        for one in titles:
            await self.store.change(one.title_id, lambda *_, one=one: Change(title=one), datetime.now(UTC))
        return titles


@contextlib.asynccontextmanager
async def open_titles(file: Path) -> AsyncIterator[Any]:
    async with Database(f"sqlite:///{file}") as database:
        yield Titles(await SqlTitleStore.open(database))


async def load_by_name(rows: CassandraTitleSource, *names: str) -> list[Title]:
    found = await rows.load([ids.derive(TitleId, name) for name in names])
    return sorted((one.title for one in found), key=lambda one: one.names["en"])


async def test_rows_serve_without_the_store_and_the_store_without_the_rows(tmp_path: Path) -> None:
    url = shared_engine("cassandra").url("catalogue")
    async with open_titles(tmp_path / "a.db") as store, slow_proxy(url) as proxy:
        first, second = await store.put("a", "b")
        async with Cassandra(url) as cassandra:
            await CassandraTitleSource(cassandra, store=store).catch_up()
        async with Cassandra(proxy.url, limit_s=1.0) as cassandra:
            store.is_unavailable = True
            rows = CassandraTitleSource(cassandra, store=store)
            with pytest.raises(EngineUnavailable):
                await rows.list_changes(0)
            assert await load_by_name(rows, "a", "b") == [first, second]
            store.is_unavailable = False
            proxy.disconnect()
            (first,) = await store.put("a", version=1)
            await rows.catch_up()
            assert not rows.is_serving
            assert await load_by_name(rows, "a") == [first]
            proxy.restore()
            for _ in range(100):
                await rows.catch_up()
                if rows.is_serving:
                    break
                await asyncio.sleep(0.1)
            store.is_unavailable = True
            assert await load_by_name(rows, "a") == [first]


async def test_rows_are_rebuilt_after_the_store_is_restored(tmp_path: Path) -> None:
    url = shared_engine("cassandra").url("catalogue")
    async with Cassandra(url) as cassandra, open_titles(tmp_path / "a.db") as store:
        await store.put("kept", "lost", version=9)
        await store.put("kept", version=10)
        rows = CassandraTitleSource(cassandra, store=store)
        await rows.catch_up()
        async with open_titles(tmp_path / "backup.db") as backup:
            (kept,) = await backup.put("kept", version=1)
            store.store = backup.store
            for reader in (rows, CassandraTitleSource(cassandra, store=store)):
                for _ in range(3):
                    await reader.catch_up()
                assert reader.is_serving
                assert await load_by_name(reader, "kept", "lost") == [kept]
