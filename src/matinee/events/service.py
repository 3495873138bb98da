"""The log of facts: append, follow, replay."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime

from matinee.events.api import AnyFact, Batch, Record
from matinee.events.ports import EventLog
from matinee.kit import context
from matinee.kit.clock import Clock
from matinee.kit.problem import Fault, Invalid

POLL_S = 0.2
MAX_WAIT_MS = 40_000
MAX_LIMIT = 5_000
MAX_RECORDS = 5_000
MAX_OFFSET = 2**63 - 1
# A long poll answers this long before its request's deadline, so that the answer still arrives in time.
MARGIN_MS = 250

KINDS = frozenset(kind.__name__ for kind in AnyFact.__args__)


class EventsService:
    """Fulfils `events.api.Events` on an `EventLog`."""

    def __init__(self, *, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._bell = Bell(log)

    async def append(self, *, records: list[Record]) -> list[int]:
        _check("records", len(records) <= MAX_RECORDS, f"at most {MAX_RECORDS} at a time")
        offsets = await self._log.append(records, now=self._clock.now())
        if records:
            self._bell.ring()
        return offsets

    async def read(self, *, after: int, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0) -> Batch:
        _check_offset("after", after)
        _check("limit", 1 <= limit <= MAX_LIMIT, f"from 1 to {MAX_LIMIT}")
        _check("wait_ms", 0 <= wait_ms <= MAX_WAIT_MS, f"from 0 to {MAX_WAIT_MS}")
        for unknown in set(types) - KINDS:
            _check("types", False, f"there is no fact named {unknown[:64]!r}")
        return await self._read(after, limit, types, time.monotonic() + _patience_ms(wait_ms) / 1000)

    async def offset_at(self, *, moment: datetime) -> int:
        _check("moment", moment.tzinfo is not None, "needs a time zone")
        return await self._log.offset_at(moment)

    async def commit(self, *, consumer: str, offset: int) -> None:
        _check_consumer(consumer)
        _check_offset("offset", offset)
        await self._log.commit(consumer, offset)

    async def committed(self, *, consumer: str) -> int:
        _check_consumer(consumer)
        return await self._log.committed(consumer)

    async def _read(self, after: int, limit: int, types: tuple[str, ...], until_s: float) -> Batch:
        while True:
            rung = self._bell.next()  # taken before the look: what comes in between rings it
            batch = await self._log.read(after=after, limit=limit, types=types)
            left_s = until_s - time.monotonic()
            if batch.entries or left_s <= 0:
                return batch
            if batch.next_offset == after:
                await self._bell.wait(rung, left_s)
            after = batch.next_offset


class Bell:
    """Rings when the log grows: at once for an append here, within `POLL_S` for another process's.

    However many wait, one task looks at the log for all of them; while nobody waits, none does.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._rung = asyncio.Event()
        self._waiting = 0
        self._head = 0
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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), limit_s)
        finally:
            self._waiting -= 1

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(POLL_S)
            try:
                head = await self._log.head()
            except Exception:  # those who wait look for themselves and get the error
                head = self._head + 1
            if head != self._head:
                self._head = head
                self.ring()


def _patience_ms(wait_ms: int) -> int:
    remaining_ms = context.current().remaining_ms()
    return wait_ms if remaining_ms is None else max(0, min(wait_ms, remaining_ms - MARGIN_MS))


def _check(field: str, good: bool, message: str) -> None:
    if not good:
        raise Invalid(faults=[Fault(field, message)])


def _check_offset(field: str, offset: int) -> None:
    _check(field, 0 <= offset <= MAX_OFFSET, f"from 0 to {MAX_OFFSET}")


def _check_consumer(consumer: str) -> None:
    _check("consumer", 1 <= len(consumer) <= 128, "from 1 to 128 characters")
