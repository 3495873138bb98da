"""What the suites of the log and of following it share: every log there is, opened again and again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import shared_engine

from matinee.drivers.sql import Database
from matinee.events.adapters.kafka import KafkaEventLog
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import AccountOpened, AnyFact, Events, FactRecord, Follower, TitlePublished, TitleWithdrawn
from matinee.events.jobs import GroupFollower, PollingFollower
from matinee.events.ports import DeadLetterStore, EventLog
from matinee.events.service import EventsService
from matinee.kit import ids, url
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, FactId, TitleId

LOGS = ("sqlite", "kafka")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PARTITIONS = 3
# So that a follower that was killed is soon known to be gone.
LEASE_MS = 2000
PAUSES_S = (0.001, 0.002)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A process's view of a log."""

    log: EventLog
    dead: DeadLetterStore
    events: Events
    following: Follower


def place(kind: str, folder: Path) -> str:
    """The URL of a log that nobody has used."""
    return shared_engine("kafka").url("events") if kind == "kafka" else f"sqlite:///{folder}/events.db"


@contextlib.asynccontextmanager
async def opened(where: str) -> AsyncIterator[Opened]:
    """Open a log as one process does."""
    clock = SystemClock()
    if url.scheme(where) == "kafka":
        async with KafkaEventLog.open(
            where, region="here", partitions=PARTITIONS, replication=1, session_ms=LEASE_MS
        ) as kafka:
            events = EventsService(log=kafka, dead_letters=kafka, leases=None, clock=clock)
            following: Follower = GroupFollower(kafka, events, clock, pauses_s=PAUSES_S)
            yield Opened(log=kafka, dead=kafka, events=events, following=following)
        return
    async with Database(where) as database:
        log = await SqliteEventLog.open(database)
        events = EventsService(log=log, dead_letters=log, leases=log, clock=clock)
        following = PollingFollower(events, clock, pauses_s=PAUSES_S, lease_ms=LEASE_MS)
        yield Opened(log=log, dead=log, events=events, following=following)


def record(name: str, kind: str = "opened", key: str = "") -> FactRecord:
    """The fact of a name: always the same one."""
    title_id = ids.derive(TitleId, name)
    facts: dict[str, AnyFact] = {
        "opened": AccountOpened(account_id=ids.derive(AccountId, name)),
        "published": TitlePublished(title_id=title_id),
        "withdrawn": TitleWithdrawn(title_id=title_id),
    }
    return FactRecord(fact_id=ids.derive(FactId, name, kind), at=NOW, key=key or name, fact=facts[kind], trace_id=name)


def compared(
    where: str,
    step: st.SearchStrategy[Any],
    differ: Callable[[list[Opened], str, list[Any]], Coroutine[Any, Any, None]],
    *,
    longest: int,
    examples: int,
) -> None:
    """Run lists of steps on two views of one log beside a plain model; each run is handed a name of its own."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        views = [runner.run(stack.enter_async_context(opened(where))) for _ in range(2)]
        rounds = 0

        @given(st.lists(step, max_size=longest))
        @settings(max_examples=examples, deadline=None)
        def agrees(steps: list[Any]) -> None:
            nonlocal rounds
            rounds += 1
            runner.run(differ(views, f"{rounds}", steps))

        agrees()
        runner.run(stack.aclose())
