"""Leases of consumers in a log on SQLite: one holder at a time, and renewals that write nothing to the database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.ports import MAX_LEASE_MS
from matinee.kit.clock import CLOCK_SKEW, ManualClock
from matinee.kit.file_times import set_time

LEASE = timedelta(seconds=30)


class Process:
    """A process's view of the log."""

    def __init__(self, log: SqliteEventLog, clock: ManualClock) -> None:
        self._log, self._clock = log, clock

    async def acquire(self, holder: str, lease: timedelta = LEASE, *, consumer: str = "home") -> bool:
        now = self._clock.now()
        return await self._log.acquire_lease(consumer, holder, until=now + lease, now=now)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def processes(tmp_path: Path, clock: ManualClock) -> AsyncIterator[tuple[Process, Process]]:
    url = f"sqlite:///{tmp_path}/events.db"
    async with Database(url) as here, Database(url) as there:
        yield (Process(await SqliteEventLog.open(here), clock), Process(await SqliteEventLog.open(there), clock))


async def test_one_holder_has_the_lease_while_it_renews(
    processes: tuple[Process, Process], clock: ManualClock, tmp_path: Path
) -> None:
    here, there = processes
    assert await here.acquire("a")
    written = (tmp_path / "events.db-wal").stat().st_size
    for _ in range(8):
        clock.advance(seconds=20)
        assert not await there.acquire("b")
        assert await here.acquire("a")
    assert await there.acquire("b", consumer="figures")
    assert (tmp_path / "events.db-wal").stat().st_size > written
    clock.advance(seconds=31)
    assert await there.acquire("b")
    assert not await here.acquire("a")


async def test_renewal_writes_nothing_to_the_database(
    processes: tuple[Process, Process], clock: ManualClock, tmp_path: Path
) -> None:
    here, _ = processes
    assert await here.acquire("a")
    written = (tmp_path / "events.db-wal").stat()
    for _ in range(8):
        clock.advance(seconds=20)
        assert await here.acquire("a")
    assert (tmp_path / "events.db-wal").stat() == written


async def test_released_lease_is_free_at_once(processes: tuple[Process, Process], tmp_path: Path) -> None:
    here, there = processes
    assert await here.acquire("a")
    assert await here.acquire("a", timedelta(0))
    assert await there.acquire("b")
    assert not await here.acquire("a")
    assert len([*(tmp_path / "events.db-leases").iterdir()]) == 1


async def test_holder_that_was_stopped_does_not_renew_a_lease_that_another_has(
    processes: tuple[Process, Process], clock: ManualClock, tmp_path: Path
) -> None:
    here, there = processes
    assert await here.acquire("a")
    (mine,) = (tmp_path / "events.db-leases").iterdir()
    clock.advance(seconds=31)
    assert await there.acquire("b")
    mine.touch()  # as a renewal that began before the end of the lease and was interrupted
    set_time(mine, clock.now() + LEASE)
    assert not await here.acquire("a")


async def test_lease_that_was_renewed_after_a_clock_was_ahead_is_kept(
    processes: tuple[Process, Process], clock: ManualClock
) -> None:
    here, there = processes
    assert await here.acquire("a", timedelta(hours=1))
    assert await here.acquire("a")  # by the right clock
    clock.advance(seconds=20)
    assert not await there.acquire("b")
    clock.advance(seconds=11)
    assert await there.acquire("b")


async def test_lease_of_a_clock_that_was_ahead_and_lost_files_are_no_obstacle(
    processes: tuple[Process, Process], clock: ManualClock, tmp_path: Path
) -> None:
    here, there = processes
    assert await here.acquire("a", timedelta(milliseconds=MAX_LEASE_MS) + CLOCK_SKEW + LEASE)
    assert await there.acquire("b")
    for file in (tmp_path / "events.db-leases").iterdir():
        file.unlink()
    assert await there.acquire("b")
    assert not await here.acquire("a")
