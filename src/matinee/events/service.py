"""The log of facts: append, read, replay."""

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
from matinee.events.model import KINDS
from matinee.events.ports import ConsumerLeases, DeadLetterFilter, DeadLetterStore, EventLog
from matinee.kit import context, log
from matinee.kit.clock import Clock
from matinee.kit.problem import Fault, Invalid

POLL_S = 0.2
MAX_WAIT_MS = 40_000
MAX_LIMIT = 5_000
MAX_RECORDS = 5_000
MAX_RETRIED = 1_000
MAX_CURSOR = 64 << 10
MAX_LEASE_MS = 600_000
_log = log.get()
# A long poll answers this long before its request's deadline, so that the answer still arrives in time.
MARGIN_MS = 250


class EventsService:
    """Fulfils `events.api.Events` on an `EventLog`. `leases` where the log knows no groups."""

    def __init__(
        self, *, log: EventLog, dead_letters: DeadLetterStore, leases: ConsumerLeases | None, clock: Clock
    ) -> None:
        self._log = log
        self._dead_letters = dead_letters
        self._leases = leases
        self._clock = clock
        self._bell = LogWatcher(log)

    async def append(self, *, records: list[FactRecord]) -> None:
        _check("records", len(records) <= MAX_RECORDS, f"at most {MAX_RECORDS} at a time")
        await self._log.append(records, now=self._clock.now())
        if records:
            self._bell.ring()

    async def read(
        self, *, after: str, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0, consumer: str = ""
    ) -> Batch:
        _check_cursor("after", after)
        _check_limit(limit)
        _check("wait_ms", 0 <= wait_ms <= MAX_WAIT_MS, f"from 0 to {MAX_WAIT_MS}")
        _check_types(types)
        return await self._read(after, limit, types, consumer, time.monotonic() + _patience_ms(wait_ms) / 1000)

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
        if unknown := {each.type for each in found if each.letter is None}:
            _log.warning("events.unreadable", types=sorted(unknown))
        return [each.letter for each in found if each.letter is not None]

    async def retry_dead_letters(
        self, *, consumer: str = "", types: tuple[str, ...] = (), fact_ids: tuple[str, ...] = ()
    ) -> RetryResult:
        _check_types(types)
        _check("fact_ids", len(fact_ids) <= MAX_RETRIED, f"at most {MAX_RETRIED} at a time")
        chosen = await self._dead_letters.find_dead_letters(
            DeadLetterFilter(consumer=consumer, types=types, fact_ids=fact_ids), limit=MAX_RETRIED
        )
        if missing := sorted(set(fact_ids) - {each.fact_id for each in chosen}):
            detail = f"No dead letter waits with {', '.join(missing[:5])}; `matinee events dead` shows those that do."
            raise DeadLetterNotFound(fact_ids=missing, detail=detail)
        if not chosen and consumer:
            await self._check_known(consumer)
        letters = [each.letter for each in reversed(chosen) if each.letter is not None]
        if letters:
            await self._dead_letters.redeliver(letters, now=self._clock.now())
            self._bell.ring()
        unknown = {each.fact_id: each.type for each in chosen if each.letter is None}
        return RetryResult(letters=letters, unknown=unknown, more=len(chosen) == MAX_RETRIED)

    async def _check_known(self, consumer: str) -> None:
        """Raises ConsumerNotFound for one that neither followed nor gave up on anything."""
        known = {lag.consumer for lag in await self._log.list_lags()}
        if consumer not in known and not await self._dead_letters.find_dead_letters(
            DeadLetterFilter(consumer=consumer), limit=1
        ):
            names = ", ".join(sorted(known)) or "nobody yet"
            raise ConsumerNotFound(consumer=consumer, detail=f"Nobody follows as {consumer!r}. Followers: {names}.")

    async def _read(self, after: str, limit: int, types: tuple[str, ...], consumer: str, until_s: float) -> Batch:
        while True:
            rung = self._bell.next()  # taken before the look: what comes in between rings it
            batch = await self._look(after, limit, types, consumer)
            left_s = until_s - time.monotonic()
            if batch.entries or left_s <= 0:
                return batch
            if batch.cursor == after:
                await self._bell.wait(rung, left_s)
            after = batch.cursor

    async def _look(self, after: str, limit: int, types: tuple[str, ...], consumer: str) -> Batch:
        if not consumer:
            return await self._log.read(after=after, limit=limit, types=types)
        if self._leases is None:
            raise LeasesNotSupported()
        return await self._leases.read_for_consumer(consumer, after=after, limit=limit, types=types)


class LogWatcher:
    """Rings when the log grows: at once for an append here, within `POLL_S` for another process's.

    However many wait, one task looks at the log for all of them; while nobody waits, none does.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._rung = asyncio.Event()
        self._waiting = 0
        self._head = ""
        self._lookout: asyncio.Task[None] | None = None

    def next(self) -> asyncio.Event:
        """The event that the next ring sets."""
        return self._rung

    def ring(self) -> None:
        """Wake all who wait."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, rung: asyncio.Event, limit_s: float) -> None:
        """Return when it rings, or after `limit_s`."""
        self._waiting += 1
        if self._lookout is None or self._lookout.done():
            self._lookout = asyncio.create_task(self._look(), name="events.lookout")
        try:
            with contextlib.suppress(TimeoutError):  # not by wait_for, which on Python 3.11 loses a cancellation
                async with asyncio.timeout(limit_s):
                    await rung.wait()
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_S)
            try:
                head = await self._log.get_head()
            except Exception:  # those who wait look for themselves and get the error
                head = "unknown"
            if head != self._head:
                self._head = head
                self.ring()


def _patience_ms(wait_ms: int) -> int:
    remaining_ms = context.current().remaining_ms()
    return wait_ms if remaining_ms is None else max(0, min(wait_ms, remaining_ms - MARGIN_MS))


def _check(field: str, good: bool, message: str) -> None:
    if not good:
        raise Invalid(faults=[Fault(field, message)])


def _check_types(types: tuple[str, ...]) -> None:
    for unknown in set(types) - KINDS:
        _check("types", False, f"there is no fact named {unknown[:64]!r}")


def _check_cursor(field: str, cursor: str) -> None:
    _check(field, len(cursor) <= MAX_CURSOR, f"at most {MAX_CURSOR} characters")


def _check_limit(limit: int) -> None:
    _check("limit", 1 <= limit <= MAX_LIMIT, f"from 1 to {MAX_LIMIT}")


def _check_consumer(consumer: str) -> None:
    _check("consumer", 1 <= len(consumer) <= 128, "from 1 to 128 characters")
