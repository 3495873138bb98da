"""Helpers of the suites of the log and its followers: every engine, opened as often as a test needs."""

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines import shared_engine

from matinee.drivers.sql import Database
from matinee.events.adapters.kafka import KafkaEventLog
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import (
    AccountOpened,
    AnyFact,
    BatchHandler,
    Events,
    FactRecord,
    Follower,
    TitlePublished,
    TitleWithdrawn,
)
from matinee.events.jobs import GroupFollower, PollingFollower
from matinee.events.ports import DeadLetterStore, EventLog
from matinee.events.service import EventsService
from matinee.kit import ids, url
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, FactId, TitleId

LOGS = ("sqlite", "kafka")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PARTITIONS = 3
LEASE_MS = 2000  # short, so that the lease of a killed follower soon expires
PAUSES_S = (0.001, 0.002)
TIMEOUT_S = 40
CONSUMER = "test"


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """One process's view of a log."""

    log: EventLog
    dead_letters: DeadLetterStore
    events: Events
    follower: Follower


Opener: TypeAlias = Callable[[], Coroutine[Any, Any, LogView]]


def new_log_url(kind: str, folder: Path) -> str:
    """Return the URL of an empty log."""
    return shared_engine("kafka").url("events") if kind == "kafka" else f"sqlite:///{folder}/events.db"


@contextlib.asynccontextmanager
async def open_log(log_url: str) -> AsyncIterator[LogView]:
    """Open a log as a process does."""
    clock = SystemClock()
    if url.scheme(log_url) == "kafka":
        async with KafkaEventLog.open(
            log_url, region="here", partitions=PARTITIONS, replication=1, session_ms=LEASE_MS
        ) as kafka:
            events = EventsService(log=kafka, dead_letters=kafka, leases=None, clock=clock)
            follower: Follower = GroupFollower(kafka, events, clock, pauses_s=PAUSES_S)
            yield LogView(log=kafka, dead_letters=kafka, events=events, follower=follower)
        return
    async with Database(log_url) as database:
        log = await SqliteEventLog.open(database)
        events = EventsService(log=log, dead_letters=log, leases=log, clock=clock)
        follower = PollingFollower(events, clock, pauses_s=PAUSES_S, lease_ms=LEASE_MS)
        yield LogView(log=log, dead_letters=log, events=events, follower=follower)


def make_record(name: str, kind: str = "opened", key: str = "") -> FactRecord:
    """Return the record of a name: always the same fact."""
    title_id = ids.derive(TitleId, name)
    facts: dict[str, AnyFact] = {
        "opened": AccountOpened(account_id=ids.derive(AccountId, name)),
        "published": TitlePublished(title_id=title_id),
        "withdrawn": TitleWithdrawn(title_id=title_id),
    }
    return FactRecord(fact_id=ids.derive(FactId, name, kind), at=NOW, key=key or name, fact=facts[kind], trace_id=name)


def make_records(start: int, count: int, keys: int = 5) -> list[FactRecord]:
    """Return records with numbers as names, distributed over some keys."""
    return [make_record(f"{n}", key=f"k{n % keys}") for n in range(start, start + count)]


def expected_order(count: int, keys: int = 5) -> dict[str, list[str]]:
    """Return the names of the first `make_records` by key."""
    return {f"k{key}": [f"{n}" for n in range(count) if n % keys == key] for key in range(keys)}


def names(records: list[FactRecord]) -> list[str]:
    """Return the names of records."""
    return [r.trace_id for r in records]


class Recorder:
    """A handler that records what it handles."""

    def __init__(self) -> None:
        self.records: list[FactRecord] = []
        self.batches: list[int] = []
        self._grew = asyncio.Event()

    async def handle(self, records: list[FactRecord]) -> None:
        self.records += records
        self.batches.append(len(records))
        self._grew.set()

    @property
    def names(self) -> list[str]:
        return names(self.records)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await self._grew.wait()
                self._grew.clear()

    def order_by_key(self) -> dict[str, list[str]]:
        """Return the names by key, in the order in which they were first handled."""
        found = defaultdict(list)
        for r in self.records:
            if r.trace_id not in found[r.key]:
                found[r.key].append(r.trace_id)
        return dict(found)


@contextlib.asynccontextmanager
async def following(view: LogView, handle: BatchHandler, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Follow during a block."""
    options = {"consumer": CONSUMER, "types": (AccountOpened,), **options}
    task = asyncio.create_task(view.follower.follow(handle=handle, **options))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds that nothing notifies of."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await condition():  # noqa: ASYNC110  # the condition may depend on another process
            await asyncio.sleep(0.05)


async def wait_committed(view: LogView) -> None:
    """Wait until all handled facts are committed."""

    async def is_committed() -> bool:
        return {lag.behind for lag in await view.log.list_lags()} == {0}

    await wait_for(is_committed)


async def start_script(script: str, log_url: str) -> asyncio.subprocess.Process:
    """Start a script that opens the log; `PRELUDE` gives it its imports."""
    arguments = ["-c", PRELUDE + script, log_url, str(Path(__file__).parents[2])]
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)


async def read_lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    """Return the next lines that a script prints."""
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().strip() for _ in range(count)]


PRELUDE = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from matinee.events.api import AccountOpened
from tests.conformance.event_rig import NOW, make_record, open_log
"""


def run_differential_test(
    log_url: str,
    step: st.SearchStrategy[Any],
    compare: Callable[[list[LogView], str, list[Any]], Coroutine[Any, Any, None]],
    *,
    max_steps: int,
    examples: int,
) -> None:
    """Run lists of steps on two views of one log beside a plain model; each run has a name of its own."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        views = [runner.run(stack.enter_async_context(open_log(log_url))) for _ in range(2)]
        runs = 0

        @given(st.lists(step, max_size=max_steps))
        @settings(max_examples=examples)
        def run(steps: list[Any]) -> None:
            nonlocal runs
            runs += 1
            runner.run(compare(views, f"{runs}", steps))

        run()
        runner.run(stack.aclose())
