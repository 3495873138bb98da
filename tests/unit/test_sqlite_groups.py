"""Transactions that share a commit on SQLite."""

import asyncio
import time
from functools import partial
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from matinee.drivers.sql import Database
from matinee.drivers.sqlite import BURST, GatherRule


def count_frames(database: Path) -> int:
    return database.with_name(database.name + "-wal").stat().st_size


async def test_writes_that_can_wait_share_a_commit_and_those_that_cannot_do_not_wait(tmp_path: Path) -> None:
    file = tmp_path / "things.db"
    async with Database(f"sqlite:///{file}") as database:
        await database.write(lambda c: c.exec_driver_sql("CREATE TABLE things (n INTEGER)"))
        before = count_frames(file)

        def put(connection: Connection) -> None:
            connection.exec_driver_sql("INSERT INTO things VALUES (1)")

        waiting = [database.write(put, gather_s=60) for _ in range(10)]
        await asyncio.gather(*waiting, database.write(put))
        assert count_frames(file) - before <= 4096 + 24 + 64
        assert await database.read(lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM things").scalar()) == 11


def test_caller_that_writes_one_by_one_hardly_waits() -> None:
    rule, due_s = GatherRule(), time.monotonic() + 60
    waits = []
    for _ in range(100):
        waits.append(rule.limit(due_s) == due_s)
        rule.learn(1)
    assert (waits[0], sum(waits)) == (True, 6)
    while rule.limit(due_s) != due_s:
        rule.learn(1)
    rule.learn(2)
    assert rule.limit(due_s) == due_s


async def test_transaction_that_fails_affects_no_other_of_its_group(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/things.db") as database:
        await database.write(lambda c: c.exec_driver_sql("CREATE TABLE things (n INTEGER UNIQUE)"))

        def put(number: int, connection: Connection) -> int:
            connection.exec_driver_sql("INSERT INTO things VALUES (?)", (number,))
            if number == 3:
                raise LookupError(number)
            return number

        numbers = [*range(6), 4]
        results = await asyncio.gather(
            *(database.write(partial(put, number), gather_s=0.5) for number in numbers), return_exceptions=True
        )
        assert results[:3] + results[4:6] == [0, 1, 2, 4, 5]
        assert isinstance(results[3], LookupError)
        assert isinstance(results[6], IntegrityError)
        rows = await database.read(lambda c: c.exec_driver_sql("SELECT n FROM things ORDER BY n").scalars().all())
        assert rows == [0, 1, 2, 4, 5]


async def test_burst_does_not_wait(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/things.db") as database:
        writes = [database.write(lambda c: c.exec_driver_sql("SELECT 1").scalar(), gather_s=3600) for _ in range(BURST)]
        assert await asyncio.gather(*writes) == [1] * BURST
