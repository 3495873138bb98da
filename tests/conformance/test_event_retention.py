"""Old facts in the log on SQLite are deleted, but none that a consumer has not passed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import FactRecord, TitleWithdrawn
from matinee.events.jobs import trim_log
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import FactId, TitleId

DAY = timedelta(days=1)
FOREVER = datetime(9000, 1, 1, tzinfo=UTC)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
    async with Database(f"sqlite:///{tmp_path}/events.db") as database:
        yield await SqliteEventLog.open(database)


def make_records(now: datetime, count: int) -> list[FactRecord]:
    title_id = ids.generate(TitleId, now)
    return [
        FactRecord(fact_id=ids.generate(FactId, now), at=now, key=title_id, fact=TitleWithdrawn(title_id=title_id))
        for _ in range(count)
    ]


async def count_facts(log: SqliteEventLog) -> int:
    return len((await log.read(after="", limit=5_000, types=())).entries)


async def append_days(log: SqliteEventLog, clock: ManualClock, *, days: int, each: int) -> None:
    for _ in range(days):
        await log.append(make_records(clock.now(), each), now=clock.now())
        clock.advance(days=1)


async def test_old_facts_are_deleted(log: SqliteEventLog) -> None:
    clock = ManualClock()
    await append_days(log, clock, days=10, each=20)
    await trim_log(log, clock, 4, 0)
    assert await count_facts(log) == 4 * 20
    await trim_log(log, clock, 0, 1)
    assert await count_facts(log) == 4 * 20


async def test_no_fact_is_deleted_that_a_consumer_has_not_passed(log: SqliteEventLog) -> None:
    clock = ManualClock()
    await append_days(log, clock, days=10, each=20)
    await log.commit("fast", await log.get_head())
    await log.commit("slow", "30")
    await trim_log(log, clock, 1, 1)
    left = await log.read(after="", limit=5_000, types=())
    assert [left.entries[0].offset, len(left.entries)] == ["31", 170]
    await log.commit("slow", await log.get_head())
    await trim_log(log, clock, 1, 0)
    assert await count_facts(log) == 20


async def test_oldest_facts_are_deleted_where_the_log_is_too_large(log: SqliteEventLog) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(5):
        await log.append(make_records(now, 5_000), now=now)
    first = await log.read(after="", limit=1, types=())
    limit_bytes = 4_000_000
    deleted = await log.trim(before=now - DAY, limit_bytes=limit_bytes)
    assert 2_000 <= deleted < 23_000
    assert (await log.read(after="", limit=1, types=())).entries[0].offset != first.entries[0].offset
    assert await log.trim(before=now - DAY, limit_bytes=limit_bytes) == 0


async def test_log_of_which_all_is_old_continues_its_numbers(log: SqliteEventLog) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    await log.append(make_records(now, 5), now=now)
    head = await log.get_head()
    assert await log.trim(before=FOREVER, limit_bytes=0) == 4
    assert await log.get_head() == head
    await log.append(make_records(now, 1), now=now)
    assert [entry.offset for entry in (await log.read(after=head, limit=9, types=())).entries] == ["6"]
    assert await log.trim(before=FOREVER, limit_bytes=0) == 1


async def test_empty_log_stays_empty(log: SqliteEventLog) -> None:
    assert await log.trim(before=FOREVER, limit_bytes=1) == 0
