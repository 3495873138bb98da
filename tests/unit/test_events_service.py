"""The log's front door: long polls, bounds, and following."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SQLiteEventLog
from matinee.events.api import AccountOpened, Batch, Record, TitleWithdrawn, follow, relaying
from matinee.events.service import EventsService
from matinee.kit import context, ids
from matinee.kit.clock import ManualClock, SystemClock
from matinee.kit.ids import AccountId, FactId, TitleId
from matinee.kit.problem import Invalid, Unreachable

SOON_S = 20


class House:
    """Two processes' views of one log."""

    def __init__(self, here: EventsService, there: EventsService, database: Database) -> None:
        self.here, self.there, self.database = here, there, database


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    url = f"sqlite:///{tmp_path}/events.db"
    async with Database(url) as first, Database(url) as second:
        yield House(
            EventsService(log=await SQLiteEventLog.open(first), clock=SystemClock()),
            EventsService(log=await SQLiteEventLog.open(second), clock=SystemClock()),
            first,
        )


def opened(name: str) -> Record:
    fact = AccountOpened(account_id=ids.derived(AccountId, name))
    return Record(fact_id=ids.derived(FactId, name), at=datetime(2026, 1, 1, tzinfo=UTC), key=name, fact=fact)


def withdrawn(name: str) -> Record:
    return msgspec.structs.replace(opened(name), fact=TitleWithdrawn(title_id=ids.derived(TitleId, name)))


async def keys(events: EventsService) -> list[str]:
    return [e.record.key for e in (await events.read(after=0)).entries]


async def test_a_waiting_reader_is_woken_by_an_append_here_and_by_one_elsewhere(house: House) -> None:
    for n, writer in enumerate((house.here, house.there)):
        head = (await house.here.read(after=0)).next_offset
        waiting = [asyncio.create_task(house.here.read(after=head, wait_ms=SOON_S * 1000)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        await writer.append(records=[opened(f"{n}")])
        async with asyncio.timeout(SOON_S / 2):
            batches = await asyncio.gather(*waiting)
        assert [[e.record.key for e in batch.entries] for batch in batches] == [[f"{n}"]] * 3


async def test_a_waiting_reader_sleeps_through_facts_it_did_not_ask_for(house: House) -> None:
    waiting = asyncio.create_task(house.here.read(after=0, types=("TitleWithdrawn",), wait_ms=SOON_S * 1000))
    for n in range(5):
        await house.here.append(records=[opened(f"{n}")])
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await house.here.append(records=[withdrawn("gone")])
    assert [e.record.key for e in (await waiting).entries] == ["gone"]


async def test_a_wait_ends_without_facts_and_before_the_deadline(house: House) -> None:
    await house.here.append(records=[opened("a")])
    batch = await house.here.read(after=0, types=("TitleWithdrawn",), wait_ms=30)
    assert (batch.entries, batch.next_offset) == ([], 1)
    with context.within(300):
        batch = await house.here.read(after=1, wait_ms=30_000)
        assert batch.entries == []
        assert (context.current().remaining_ms() or 0) > 0


async def test_a_fact_of_a_newer_version_is_passed_over(house: House) -> None:
    await house.here.append(records=[opened("a")])
    insert = "INSERT INTO events_log (fact_id, type, appended_ms, record) VALUES ('f', 'MoonLanded', 0, :record)"
    record = msgspec.json.encode(opened("b")).replace(b"AccountOpened", b"MoonLanded")
    await house.database.write(lambda connection: connection.execute(text(insert), {"record": record}))
    assert (await house.here.read(after=1, limit=1)).next_offset == 2
    waiting = asyncio.create_task(house.here.read(after=1, limit=1, wait_ms=SOON_S * 1000))
    await house.here.append(records=[opened("c")])
    assert [e.record.key for e in (await waiting).entries] == ["c"]
    assert await keys(house.here) == ["a", "c"]


async def test_bad_input_is_named(house: House) -> None:
    events = house.here
    for call, field in [
        (events.read(after=-1), "after"),
        (events.read(after=2**63), "after"),
        (events.read(after=0, limit=0), "limit"),
        (events.read(after=0, limit=10**9), "limit"),
        (events.read(after=0, wait_ms=-1), "wait_ms"),
        (events.read(after=0, types=("AccountOpend",)), "types"),
        (events.commit(consumer="", offset=1), "consumer"),
        (events.commit(consumer="x" * 129, offset=1), "consumer"),
        (events.commit(consumer="x", offset=-1), "offset"),
        (events.committed(consumer=""), "consumer"),
        (events.offset_at(moment=datetime(2026, 1, 1)), "moment"),  # noqa: DTZ001 — that is what is wrong with it
        (events.append(records=[opened(f"{n}") for n in range(5001)]), "records"),
    ]:
        with pytest.raises(Invalid) as caught:
            await call
        assert [fault.field for fault in caught.value.faults] == [field]
    assert await keys(events) == []


async def test_the_offset_of_a_moment_is_by_our_own_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Database(f"sqlite:///{tmp_path}/events.db") as database:
        events = EventsService(log=await SQLiteEventLog.open(database), clock=clock)
        await events.append(records=[opened("a")])
        between = clock.advance(hours=1)
        await events.append(records=[opened("b")])
        after = await events.offset_at(moment=between)
        assert [e.record.key for e in (await events.read(after=after)).entries] == ["b"]
        assert await events.offset_at(moment=between + timedelta(hours=1)) == 2


async def test_the_outbox_s_bytes_become_facts(house: House) -> None:
    append = relaying(house.here)
    await append([msgspec.json.encode(opened("a")), msgspec.json.encode(withdrawn("b"))])
    await append([msgspec.json.encode(opened("a"))])
    assert await keys(house.here) == ["a", "b"]


class Between:
    """Stands before the log: away for its first reads, and tells when something was committed."""

    def __init__(self, events: EventsService, failures: int) -> None:
        self.events, self.failures = events, failures
        self.kept = asyncio.Event()

    async def append(self, *, records: list[Record]) -> list[int]:
        return await self.events.append(records=records)

    async def read(self, *, after: int, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0) -> Batch:
        if self.failures:
            self.failures -= 1
            raise Unreachable(service="events")
        return await self.events.read(after=after, limit=limit, types=types, wait_ms=wait_ms)

    async def offset_at(self, *, moment: datetime) -> int:
        return await self.events.offset_at(moment=moment)

    async def commit(self, *, consumer: str, offset: int) -> None:
        await self.events.commit(consumer=consumer, offset=offset)
        self.kept.set()

    async def committed(self, *, consumer: str) -> int:
        return await self.events.committed(consumer=consumer)


class Follower:
    """Follows until it has taken `enough` facts; fails as it is told."""

    def __init__(
        self, events: EventsService, enough: int, failures: dict[str, list[Exception]] | None = None, away: int = 0
    ) -> None:
        self.events, self.enough, self.failures = Between(events, away), enough, failures or {}
        self.taken: list[str] = []
        self.done = asyncio.Event()

    async def handle(self, record: Record) -> None:
        if left := self.failures.get(record.key):
            raise left.pop(0)
        self.taken.append(record.key)
        if len(self.taken) == self.enough:
            self.done.set()

    async def run(self) -> list[str]:
        following = follow(
            self.events, consumer="test", types=(AccountOpened,), handle=self.handle, pauses_s=(0.001, 0.002)
        )
        task = asyncio.create_task(following)
        async with asyncio.timeout(SOON_S):
            await self.done.wait()
            await self.events.kept.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return self.taken


async def test_a_follower_goes_on_where_it_committed(house: House) -> None:
    await house.here.append(records=[opened("a"), withdrawn("x"), opened("b")])
    assert await Follower(house.here, enough=2).run() == ["a", "b"]
    await house.here.append(records=[opened("c")])
    assert await Follower(house.there, enough=1).run() == ["c"]


async def test_a_fact_that_fails_is_tried_again_then_set_aside(house: House) -> None:
    await house.here.append(records=[opened("flaky"), opened("poison"), opened("good")])
    failures: dict[str, list[Exception]] = {
        "flaky": [ValueError("once")],
        "poison": [ValueError("always") for _ in range(50)],
    }
    follower = Follower(house.here, enough=2, failures=failures)
    assert await follower.run() == ["flaky", "good"]
    assert len(failures["poison"]) == 47


async def test_a_fact_outlasts_an_outage(house: House) -> None:
    await house.here.append(records=[opened("a"), opened("b")])
    outage: list[Exception] = [Unreachable(service="catalogue") for _ in range(40)]
    assert await Follower(house.here, enough=2, failures={"a": outage}).run() == ["a", "b"]


async def test_a_follower_outlasts_the_log_being_away(house: House) -> None:
    await house.here.append(records=[opened("a")])
    assert await Follower(house.here, enough=1, away=1).run() == ["a"]
