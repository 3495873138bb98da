"""The service of events."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime, timedelta

from matinee.events.api import (
    Batch,
    ConsumerNotFound,
    DeadLetter,
    DeadLetterNotFound,
    FactRecord,
    Lag,
    LeasesNotSupported,
    RetryResult,
)
from matinee.events.model import TYPE_NAMES
from matinee.events.ports import MAX_LEASE_MS, ConsumerLeases, DeadLetterFilter, DeadLetterStore, EventLog
from matinee.kit import context, log
from matinee.kit.clock import Clock
from matinee.kit.problem import Fault, Invalid
from matinee.kit.ticks import sleep_until_tick

POLL_S = 0.2
MAX_WAIT_MS = 40_000
MAX_LIMIT = 5_000
MAX_RECORDS = 5_000
MAX_RETRIED = 1_000
MAX_CURSOR = 64 << 10
# A long poll answers this long before the deadline of its request, so that the answer arrives in time.
MARGIN_MS = 250
_log = log.get()


class EventsService:
    """Implements `Events` on an `EventLog`. `leases` is None for a log with consumer groups.

    Facts that another process appends are found within `poll_s`.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        dead_letters: DeadLetterStore,
        leases: ConsumerLeases | None,
        clock: Clock,
        poll_s: float = POLL_S,
    ) -> None:
        self._log = log
        self._dead_letters = dead_letters
        self._leases = leases
        self._clock = clock
        self._watcher = LogWatcher(log, poll_s)

    async def append(self, *, records: list[FactRecord]) -> None:
        _check("records", len(records) <= MAX_RECORDS, f"at most {MAX_RECORDS} at a time")
        await self._log.append(records, now=self._clock.now())
        if records:
            self._watcher.notify()

    async def read(
        self, *, after: str, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0, consumer: str = ""
    ) -> Batch:
        _check_cursor("after", after)
        _check_limit(limit)
        _check("wait_ms", 0 <= wait_ms <= MAX_WAIT_MS, f"from 0 to {MAX_WAIT_MS}")
        types = _resolve_types(types)
        deadline_s = time.monotonic() + _bound_wait_ms(wait_ms) / 1000
        while True:
            growth = self._watcher.growth  # taken before the read: an append during the read sets it
            batch = await self._read_now(after, limit, types, consumer)
            left_s = deadline_s - time.monotonic()
            if batch.entries or left_s <= 0:
                return batch
            if batch.cursor == after:
                await self._watcher.wait(growth, left_s)
            after = batch.cursor

    async def get_head(self) -> str:
        return await self._log.get_head()

    async def find_cursor(self, *, moment: datetime) -> str:
        _check("moment", moment.tzinfo is not None, "needs a time zone")
        return await self._log.find_cursor(moment)

    async def commit(self, *, consumer: str, cursor: str) -> None:
        _check_consumer(consumer)
        _check_cursor("cursor", cursor)
        await self._log.commit(consumer, cursor)

    async def get_committed(self, *, consumer: str) -> str:
        _check_consumer(consumer)
        return await self._log.get_committed(consumer)

    async def list_lags(self) -> list[Lag]:
        return await self._log.list_lags()

    async def acquire_lease(self, *, consumer: str, holder: str, lease_ms: int) -> bool:
        _check_consumer(consumer)
        _check("holder", 1 <= len(holder) <= 64, "from 1 to 64 characters")
        _check("lease_ms", 0 <= lease_ms <= MAX_LEASE_MS, f"from 0 to {MAX_LEASE_MS}")
        if self._leases is None:
            raise LeasesNotSupported()
        now = self._clock.now()
        return await self._leases.acquire_lease(consumer, holder, until=now + timedelta(milliseconds=lease_ms), now=now)

    async def add_dead_letter(self, *, letter: DeadLetter) -> None:
        _check_consumer(letter.consumer)
        await self._dead_letters.add_dead_letter(letter)

    async def list_dead_letters(self, *, limit: int = 100, consumer: str = "") -> list[DeadLetter]:
        _check_limit(limit)
        found = await self._dead_letters.find_dead_letters(DeadLetterFilter(consumer=consumer), limit=limit)
        if not found and consumer:
            await self._check_exists(consumer)
        if unknown := {each.type for each in found if each.letter is None}:
            _log.warning("events.unreadable", types=sorted(unknown))
        return [each.letter for each in found if each.letter is not None]

    async def retry_dead_letters(
        self, *, consumer: str = "", types: tuple[str, ...] = (), fact_ids: tuple[str, ...] = ()
    ) -> RetryResult:
        types = _resolve_types(types)
        _check("fact_ids", len(fact_ids) <= MAX_RETRIED, f"at most {MAX_RETRIED} at a time")
        selection = DeadLetterFilter(consumer=consumer, types=types, fact_ids=fact_ids)
        selected = await self._dead_letters.find_dead_letters(selection, limit=MAX_RETRIED)
        if missing := sorted(set(fact_ids) - {each.fact_id for each in selected}):
            detail = f"There is no dead letter for {', '.join(missing[:5])}; `matinee events dead` lists them."
            raise DeadLetterNotFound(fact_ids=missing, detail=detail)
        if not selected and consumer:
            await self._check_exists(consumer)
        letters = [each.letter for each in reversed(selected) if each.letter is not None]
        if letters:
            await self._dead_letters.redeliver(letters, now=self._clock.now())
            self._watcher.notify()
        unknown = {each.fact_id: each.type for each in selected if each.letter is None}
        return RetryResult(letters=letters, unknown=unknown, more=len(selected) == MAX_RETRIED)

    async def _check_exists(self, consumer: str) -> None:
        """Raise ConsumerNotFound for a consumer without a committed cursor and without dead letters."""
        names = {lag.consumer for lag in await self._log.list_lags()}
        if consumer in names or await self._dead_letters.find_dead_letters(
            DeadLetterFilter(consumer=consumer), limit=1
        ):
            return
        known = ", ".join(sorted(names)) or "none"
        raise ConsumerNotFound(consumer=consumer, detail=f"There is no consumer {consumer!r}. Consumers: {known}.")

    async def _read_now(self, after: str, limit: int, types: tuple[str, ...], consumer: str) -> Batch:
        if not consumer:
            return await self._log.read(after=after, limit=limit, types=types)
        if self._leases is None:
            raise LeasesNotSupported()
        return await self._leases.read_for_consumer(consumer, after=after, limit=limit, types=types)


class LogWatcher:
    """Wakes waiting readers when the log grows: at once for appends in this process, else within `poll_s`.

    One task polls the log for all waiting readers; without readers there is no task.
    """

    def __init__(self, log: EventLog, poll_s: float) -> None:
        self._log = log
        self._poll_s = poll_s
        self.growth = asyncio.Event()  # set, and replaced, when the log grows
        self._readers = 0
        self._head = ""
        self._polling: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Wake all waiting readers."""
        self.growth.set()
        self.growth = asyncio.Event()

    async def wait(self, growth: asyncio.Event, limit_s: float) -> None:
        """Return when `growth` is set, or after `limit_s`."""
        self._readers += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll(), name="events.watcher")
        try:
            with contextlib.suppress(TimeoutError):  # not wait_for, which loses a cancellation on Python 3.11
                async with asyncio.timeout(limit_s):
                    await growth.wait()
        finally:
            self._readers -= 1

    async def _poll(self) -> None:
        while self._readers:
            await sleep_until_tick(self._poll_s)
            try:
                head = await self._log.get_head()
            except Exception:  # the woken readers read for themselves and get the error
                head = "unknown"
            if head != self._head:
                self._head = head
                self.notify()


def _bound_wait_ms(wait_ms: int) -> int:
    remaining_ms = context.current().remaining_ms()
    return wait_ms if remaining_ms is None else max(0, min(wait_ms, remaining_ms - MARGIN_MS))


def _check(field: str, is_valid: bool, message: str) -> None:
    if not is_valid:
        raise Invalid(faults=[Fault(field, message)])


def _resolve_types(types: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stored names of facts that are named by class or stored name. Raises Invalid."""
    for name in types:
        _check("types", name in TYPE_NAMES, f"there is no fact named {name[:64]!r}")
    return tuple(TYPE_NAMES[name] for name in types)


def _check_cursor(field: str, cursor: str) -> None:
    _check(field, len(cursor) <= MAX_CURSOR, f"at most {MAX_CURSOR} characters")


def _check_limit(limit: int) -> None:
    _check("limit", 1 <= limit <= MAX_LIMIT, f"from 1 to {MAX_LIMIT}")


def _check_consumer(consumer: str) -> None:
    _check("consumer", 1 <= len(consumer) <= 128, "from 1 to 128 characters")
