"""Transactions on every SQL engine, with concurrency and with failures of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, text
from tests.deployment import eventually
from tests.engines import private_engine, shared_engine, slow_proxy
from tests.stores import SQL, database_url

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable
from matinee.drivers.sql import Database
from matinee.kit.context import with_timeout

Transaction = Any


def execute(statement: str, **values: Any) -> Transaction:
    return lambda connection: connection.execute(text(statement), values)


def count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM t")).scalar_one())


def insert(n: int) -> Transaction:
    def run(connection: Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (:n, 0)"), {"n": n})

    return run


async def create_table(database: Database) -> None:
    def make(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE t (n INTEGER NOT NULL PRIMARY KEY, hits INTEGER NOT NULL)"))

    await database.write(make)


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "sql")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        await create_table(database)
        yield database


async def test_writers_that_lock_rows_in_opposite_order_all_succeed(database: Database) -> None:
    for n in range(2):
        await database.write(insert(n))

    def both(first: int) -> Transaction:
        def run(connection: Connection) -> None:
            for n in (first, 1 - first):
                connection.execute(text("UPDATE t SET hits = hits + 1 WHERE n = :n"), {"n": n})

        return run

    await asyncio.gather(*(database.write(both(n % 2)) for n in range(40)))
    rows = await database.read(lambda c: c.execute(text("SELECT hits FROM t")).scalars().all())
    assert rows == [40, 40]


async def test_concurrent_check_and_insert_inserts_once(database: Database) -> None:
    def ensure(connection: Connection) -> bool:
        if connection.execute(text("SELECT 1 FROM t WHERE n = 7")).first() is not None:
            return False
        connection.execute(text("INSERT INTO t VALUES (7, 0)"))
        return True

    assert sum(await asyncio.gather(*(database.write(ensure, retry_on_conflict=True) for _ in range(20)))) == 1


async def test_serialisable_writers_have_no_write_skew(database: Database) -> None:
    def take(n: int) -> Transaction:
        def run(connection: Connection) -> bool:
            if count(connection) >= 3:
                return False
            connection.execute(text("INSERT INTO t VALUES (:n, 0)"), {"n": n})
            return True

        return run

    await asyncio.gather(*(database.write(take(n), isolation="SERIALIZABLE") for n in range(12)))
    assert await database.read(count) == 3


async def test_read_uses_one_snapshot(url: str, database: Database) -> None:
    await database.write(insert(1))
    async with Database(url) as other:
        counts: list[int] = []
        loop = asyncio.get_running_loop()

        def twice(connection: Connection) -> None:
            counts.append(count(connection))
            connection.execute(text("SELECT count(*) FROM t"))
            counts.append(count(connection))

        reading = loop.create_task(database.read(twice))
        writing = [loop.create_task(other.write(insert(n))) for n in range(2, 22)]
        await asyncio.gather(reading, *writing)
        assert counts[0] == counts[1]


async def test_exception_rolls_back(database: Database) -> None:
    def fail(connection: Connection) -> None:
        insert(1)(connection)
        raise ValueError("no")

    for _ in range(12):
        with pytest.raises(ValueError, match="no"):
            await database.write(fail)
    assert await database.read(count) == 0


async def test_two_relays_append_each_fact_once_and_in_order(url: str) -> None:
    from matinee.playback.adapters.sql import SqlSessionStore

    sent: list[bytes] = []

    async def append(records: list[bytes]) -> None:
        await asyncio.sleep(0.005)
        sent.extend(records)

    async with Database(url) as one, Database(url) as other:
        boxes = [(await SqlSessionStore.open(database)).outbox for database in (one, other)]
        if url.startswith("sqlite"):  # a domain on SQLite has one process
            boxes = boxes[:1]
        relaying = [asyncio.ensure_future(box.run(append)) for box in boxes]
        for n in range(60):
            await one.write(lambda connection, n=n: boxes[0].put(connection, [b"%d" % n]))
            boxes[n % len(boxes)].notify()
        await eventually(lambda: len(sent) >= 60)
        for task in relaying:
            task.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)
    assert sent == [b"%d" % n for n in range(60)]


async def test_exception_releases_an_advisory_lock(url: str) -> None:
    async with Database(url) as one, Database(url) as other:
        with pytest.raises(ValueError, match="no"):
            async with one.advisory_lock("work"):
                raise ValueError("no")
        async with other.advisory_lock("work") as is_free:
            assert is_free


async def test_cancelled_write_is_complete_or_rolled_back(database: Database) -> None:
    for n in range(20):
        task = asyncio.ensure_future(database.write(insert(n)))
        await asyncio.sleep(n * 0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await database.write(insert(100))
    assert await database.read(count) >= 1


async def test_text_is_compared_by_its_bytes(url: str) -> None:
    from matinee.identity.adapters.sql import SqlIdentityStore

    names = ["a", "A", "á", "a ", " a", "ａ"]
    async with Database(url) as database:
        await SqlIdentityStore.open(database)
        for name in names:
            added = "INSERT INTO identity_tries (subject, count, last_at) VALUES (:name, 1, 0)"
            await database.write(execute(added, name=name))
        found = await database.read(
            lambda c: c.execute(text("SELECT subject FROM identity_tries WHERE subject = 'a'")).scalars().all()
        )
        ordered = await database.read(
            lambda c: c.execute(text("SELECT subject FROM identity_tries ORDER BY subject")).scalars().all()
        )
    assert found == ["a"]
    assert ordered == sorted(names)


def insert_rows(url: str, base: int, rows: int) -> None:
    async def run() -> None:
        async with Database(url) as database:
            for n in range(rows):
                await database.write(insert(base + n))

    asyncio.run(run())


async def test_two_processes_that_write_concurrently_both_succeed(url: str, database: Database) -> None:
    writers = [get_context("spawn").Process(target=insert_rows, args=(url, base, 150)) for base in (1000, 2000)]
    for writer in writers:
        writer.start()
    await asyncio.gather(*(database.write(insert(n)) for n in range(100)))
    for writer in writers:
        await asyncio.to_thread(writer.join)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert await database.read(count) == 400


async def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    own = private_engine("mariadb", tmp_path)
    with own:
        url = own.url("sql")
        async with Database(url) as database:
            await create_table(database)
            written: list[int] = []
            enough = asyncio.Event()

            async def write(worker: int) -> None:
                for n in range(worker * 1000, worker * 1000 + 1000):
                    try:
                        await database.write(insert(n))
                    except EngineUnavailable:
                        return
                    written.append(n)
                    if len(written) >= 40:
                        enough.set()

            writing = asyncio.gather(*(write(worker) for worker in range(4)))
            await enough.wait()
            await asyncio.to_thread(own.kill)
            await writing
            with pytest.raises(EngineUnavailable, match="mariadb at"):
                await database.read_autocommit(count)
            await asyncio.to_thread(own.start)
            found = await database.read(lambda c: set(c.execute(text("SELECT n FROM t")).scalars()))
            assert set(written) <= found
            assert len(found - set(written)) <= 4


async def test_connections_lost_between_two_calls_are_replaced(tmp_path: Path) -> None:
    async with slow_proxy(shared_engine("mariadb").url("sql")) as proxy, Database(proxy.url) as database:
        await create_table(database)
        await asyncio.gather(*(database.write(insert(n)) for n in range(8)))
        proxy.disconnect()
        proxy.restore()
        assert await database.read_autocommit(count) == 8
        proxy.disconnect()
        proxy.restore()
        await database.write(insert(8))
        proxy.disconnect()
        with pytest.raises(EngineUnavailable):
            await database.read(count)
        proxy.restore()
        assert await database.read(count) == 9


async def test_slow_engine_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    async with slow_proxy(shared_engine("mariadb").url("sql")) as proxy, Database(proxy.url) as database:
        await create_table(database)
        proxy.delay_s = 600  # longer than this test
        with with_timeout(400), pytest.raises(EngineUnavailable, match=r"did not answer within 0\.4 s"):
            await database.read(count)
        with with_timeout(400), pytest.raises(EngineUnavailable):
            await database.write(insert(1))
        proxy.delay_s = 0
        await database.write(insert(2))
        assert await database.read(lambda c: c.execute(text("SELECT n FROM t WHERE n = 2")).scalar()) == 2


async def test_unresponsive_engine_is_unavailable(tmp_path: Path) -> None:
    with private_engine("mariadb", tmp_path) as own:
        async with Database(own.url("sql")) as database:
            await create_table(database)
            own.pause()
            with with_timeout(500), pytest.raises(EngineUnavailable):
                await database.write(insert(1))
            own.resume()
            await database.write(insert(2))


async def test_open_reports_a_missing_engine() -> None:
    with pytest.raises(EngineUnavailable, match=r"mariadb at 127\.0\.0\.1:1: Can't connect"):
        async with Database("mysql+asyncmy://a:b@127.0.0.1:1/x"):
            pass


async def test_wrong_password_is_reported_without_the_password() -> None:
    parts = urlsplit(shared_engine("mariadb").url("sql"))
    wrong = parts._replace(netloc=f"{parts.username}:s3cret-pw@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(EngineUnavailable, match="Access denied") as refused:
        async with Database(wrong):
            pass
    assert "s3cret-pw" not in repr(refused.value)


async def test_read_only_engine_refuses_writes_and_answers_reads(tmp_path: Path) -> None:
    with private_engine("mariadb", tmp_path) as own:
        parts = urlsplit(own.url("sql"))
        async with Database(parts.geturl()) as admin:
            await create_table(admin)
            for statement in (
                "CREATE USER 'plain'@'127.0.0.1' IDENTIFIED BY 'pw'",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON `DB`.* TO 'plain'@'127.0.0.1'",
                "SET GLOBAL read_only = 1",
            ):
                await admin.read_autocommit(execute(statement.replace("DB", parts.path[1:])))
            plain = parts._replace(netloc=f"plain:pw@{parts.hostname}:{parts.port}").geturl()
            async with Database(plain) as database:
                with pytest.raises(EngineReadOnly):
                    await database.write(insert(1))
                assert await database.read(count) == 0
                await admin.read_autocommit(execute("SET GLOBAL read_only = 0"))
                await database.write(insert(1))
                assert await database.read_autocommit(count) == 1


async def test_transaction_that_waits_too_long_for_a_row_is_retried(database: Database, url: str) -> None:
    if url.startswith("sqlite"):
        return  # one writer at a time
    await database.write(insert(1))
    is_locked, release = asyncio.Event(), asyncio.Event()

    async def lock_row() -> None:
        async with Database(url) as other:
            from sqlalchemy.util import await_only

            def long(connection: Connection) -> None:
                connection.execute(text("UPDATE t SET hits = 5 WHERE n = 1"))
                is_locked.set()
                await_only(release.wait())

            await other.write(long)

    locking = asyncio.ensure_future(lock_row())
    await is_locked.wait()
    waiting = asyncio.ensure_future(database.write(execute("UPDATE t SET hits = hits + 1 WHERE n = 1")))
    await asyncio.sleep(4)
    assert not waiting.done()
    release.set()
    await asyncio.gather(locking, waiting)
    assert await database.read(lambda c: c.execute(text("SELECT hits FROM t")).scalar()) == 6
