"""`EventsService`: long polls, validation, dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from matinee.drivers.migrations import MigrationScripts, run_on_store, upgrade
from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import (
    AccountOpened,
    DeadLetter,
    Entry,
    FactRecord,
    PlaybackHeartbeat,
    TitleWithdrawn,
    relay_facts,
)
from matinee.events.service import EventsService
from matinee.kit import context, ids
from matinee.kit.clock import Clock, ManualClock, SystemClock
from matinee.kit.ids import AccountId, FactId, PlaySessionId, ProfileId, TitleId
from matinee.kit.problem import Invalid

TIMEOUT_S = 20


class Deployment:
    """The views that two processes have of one log."""

    def __init__(self, here: EventsService, there: EventsService, database: Database) -> None:
        self.here, self.there, self.database = here, there, database


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    url = f"sqlite:///{tmp_path}/events.db"
    async with Database(url) as first, Database(url) as second:
        yield Deployment(
            await service(first, SystemClock()),
            await service(second, SystemClock()),
            first,
        )


async def service(database: Database, clock: Clock) -> EventsService:
    log = await SqliteEventLog.open(database)
    return EventsService(log=log, dead_letters=log, leases=log, clock=clock)


def new_opened(name: str) -> FactRecord:
    fact = AccountOpened(account_id=ids.derive(AccountId, name))
    return FactRecord(fact_id=ids.derive(FactId, name), at=datetime(2026, 1, 1, tzinfo=UTC), key=name, fact=fact)


def withdrawn(name: str) -> FactRecord:
    return msgspec.structs.replace(new_opened(name), fact=TitleWithdrawn(title_id=ids.derive(TitleId, name)))


async def keys(events: EventsService) -> list[str]:
    return [e.record.key for e in (await events.read(after="")).entries]


async def test_a_waiting_reader_is_woken_by_appends_of_this_and_other_processes(deployment: Deployment) -> None:
    for n, writer in enumerate((deployment.here, deployment.there)):
        head = (await deployment.here.read(after="")).cursor
        reading = [asyncio.create_task(deployment.here.read(after=head, wait_ms=TIMEOUT_S * 1000)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in reading)
        await writer.append(records=[new_opened(f"{n}")])
        async with asyncio.timeout(TIMEOUT_S / 2):
            batches = await asyncio.gather(*reading)
        assert [[e.record.key for e in batch.entries] for batch in batches] == [[f"{n}"]] * 3


async def test_a_waiting_reader_ignores_facts_of_other_types(deployment: Deployment) -> None:
    reading = asyncio.create_task(deployment.here.read(after="", types=("TitleWithdrawn",), wait_ms=TIMEOUT_S * 1000))
    for n in range(5):
        await deployment.here.append(records=[new_opened(f"{n}")])
    await asyncio.sleep(0.05)
    assert not reading.done()
    await deployment.here.append(records=[withdrawn("gone")])
    assert [e.record.key for e in (await reading).entries] == ["gone"]


async def test_a_wait_without_facts_ends_before_the_deadline(deployment: Deployment) -> None:
    await deployment.here.append(records=[new_opened("a")])
    batch = await deployment.here.read(after="", types=("TitleWithdrawn",), wait_ms=30)
    assert (batch.entries, batch.cursor) == ([], "1")
    with context.with_timeout(300):
        batch = await deployment.here.read(after="1", wait_ms=30_000)
        assert batch.entries == []
        assert (context.current().remaining_ms() or 0) > 0


async def test_a_fact_of_a_newer_version_is_skipped(deployment: Deployment) -> None:
    await deployment.here.append(records=[new_opened("a")])
    insert = "INSERT INTO events_log (fact_id, type, appended_ms, record) VALUES ('f', 'MoonLanded', 0, :record)"
    record = msgspec.json.encode(new_opened("b")).replace(b"AccountOpened", b"MoonLanded")
    await deployment.database.write(lambda connection: connection.execute(text(insert), {"record": record}))
    assert (await deployment.here.read(after="1", limit=1)).cursor == "2"
    reading = asyncio.create_task(deployment.here.read(after="1", limit=1, wait_ms=TIMEOUT_S * 1000))
    await deployment.here.append(records=[new_opened("c")])
    assert [e.record.key for e in (await reading).entries] == ["c"]
    assert await keys(deployment.here) == ["a", "c"]


async def test_a_renamed_fact_is_read_by_either_name(deployment: Deployment) -> None:
    heartbeat = PlaybackHeartbeat(
        session_id=PlaySessionId("pls_1"),
        profile_id=ProfileId("pro_1"),
        title_id=TitleId("tit_1"),
        position_ms=0,
        state="playing",
    )
    await deployment.here.append(records=[msgspec.structs.replace(new_opened("a"), fact=heartbeat)])
    for name in ("PlaybackHeartbeat", "PlaybackBeat"):
        assert [e.record.key for e in (await deployment.here.read(after="", types=(name,))).entries] == ["a"]


async def test_invalid_arguments_are_named(deployment: Deployment) -> None:
    events = deployment.here
    for call, field in [
        (events.read(after="9" * 100_000), "after"),
        (events.read(after="", limit=0), "limit"),
        (events.read(after="", limit=10**9), "limit"),
        (events.read(after="", wait_ms=-1), "wait_ms"),
        (events.read(after="", types=("AccountOpend",)), "types"),
        (events.commit(consumer="", cursor="1"), "consumer"),
        (events.commit(consumer="x" * 129, cursor="1"), "consumer"),
        (events.commit(consumer="x", cursor="9" * 100_000), "cursor"),
        (events.get_committed(consumer=""), "consumer"),
        (events.find_cursor(moment=datetime(2026, 1, 1)), "moment"),  # noqa: DTZ001
        (events.acquire_lease(consumer="x", holder="", lease_ms=1), "holder"),
        (events.acquire_lease(consumer="x", holder="y", lease_ms=-1), "lease_ms"),
        (events.list_dead_letters(limit=0), "limit"),
        (events.append(records=[new_opened(f"{n}") for n in range(5001)]), "records"),
    ]:
        with pytest.raises(Invalid) as caught:
            await call
        assert [fault.field for fault in caught.value.faults] == [field]
    assert await keys(events) == []


async def test_the_cursor_of_a_moment_uses_the_clock_of_the_service(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Database(f"sqlite:///{tmp_path}/events.db") as database:
        events = await service(database, clock)
        await events.append(records=[new_opened("a")])
        between = clock.advance(hours=1)
        await events.append(records=[new_opened("b")])
        after = await events.find_cursor(moment=between)
        assert [e.record.key for e in (await events.read(after=after)).entries] == ["b"]
        assert await events.find_cursor(moment=between + timedelta(hours=1)) == await events.get_head() == "2"


async def test_a_dead_letter_of_an_earlier_version_can_be_retried(tmp_path: Path) -> None:
    url, scripts = (
        f"sqlite:///{tmp_path}/events.db",
        MigrationScripts.load("matinee.events.adapters:migrations").paths,
    )
    await asyncio.to_thread(run_on_store, url, partial(upgrade, scripts=MigrationScripts(scripts[:2]), name="events"))
    entry = Entry(offset="1", record=new_opened("a"))
    letter = DeadLetter(consumer="home", at=datetime(2026, 1, 1, tzinfo=UTC), reason="no", tries=5, entry=entry)
    insert = text("INSERT INTO events_dead_letter (consumer, letter) VALUES ('home', :letter)")
    async with Database(url) as database:
        await database.write(lambda connection: connection.execute(insert, {"letter": msgspec.json.encode(letter)}))
        events = await service(database, SystemClock())
        assert (await events.retry_dead_letters(types=("AccountOpened",))).letters == [letter]
        assert await events.list_dead_letters() == []
        batch = await events.read(after="", consumer="home")
        assert batch.entries == [msgspec.structs.replace(entry, earlier_tries=5)]
        assert (await events.read(after="")).entries == (await events.read(after="", consumer="away")).entries == []


async def test_records_of_an_outbox_are_appended(deployment: Deployment) -> None:
    class Outbox:
        async def run(self, append: Callable[[list[bytes]], Awaitable[None]]) -> None:
            await append([msgspec.json.encode(new_opened("a")), msgspec.json.encode(withdrawn("b"))])
            await append([msgspec.json.encode(new_opened("a"))])

    await relay_facts(Outbox(), deployment.here)
    assert await keys(deployment.here) == ["a", "b"]
