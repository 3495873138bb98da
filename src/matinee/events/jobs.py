"""Followers: every fact handled at least once, and facts whose handling keeps failing stored as dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol

from matinee.events.api import Batch, BatchHandler, DeadLetter, Entry, Events, Fact, type_name
from matinee.events.ports import ConsumerGroups
from matinee.kit import context, ids, log
from matinee.kit.clock import Clock
from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem
from matinee.kit.ticks import sleep_until_tick

_log = log.get()
POLL_WAIT_MS = 20_000
LEASE_MS = 30_000
MAX_BATCH = 1000
PAUSES_S = (0.1, 0.5, 2.0, 5.0)
# How often the last pause is repeated while a dependency of the handler is unavailable: about ten minutes.
MAX_TRIES_UNAVAILABLE = 120


class TrimmedLog(Protocol):
    """A log that does not delete old facts by itself."""

    async def trim(self, *, before: datetime, limit_bytes: int) -> int:
        """Delete facts that every consumer has passed: those before a time, and the oldest of too many bytes."""


async def trim_log(log: TrimmedLog, clock: Clock, retention_days: int, retention_bytes: int) -> None:
    """Delete the facts that need not be kept; with 0 days they are kept forever."""
    if not retention_days:
        return
    before = clock.now() - timedelta(days=retention_days)
    if deleted := await log.trim(before=before, limit_bytes=retention_bytes):
        _log.info("events.trimmed", facts=deleted)


class LeaseLost(Problem, status=409):
    """Another follower has the lease of this consumer."""

    consumer: str


class NotFollowed(Problem, status=409):
    """This consumer no longer follows facts of this type."""

    consumer: str


class PollingFollower:
    """A `Follower` that reads the log through `Events`; a lease lets one follower of each consumer run at a time."""

    def __init__(
        self, events: Events, clock: Clock, *, pauses_s: tuple[float, ...] = PAUSES_S, lease_ms: int = LEASE_MS
    ) -> None:
        self._events = events
        self._clock = clock
        self._pauses_s = pauses_s
        self._lease_ms = lease_ms

    async def follow(
        self,
        *,
        consumer: str,
        types: tuple[type[Fact], ...],
        handle: BatchHandler,
        start: str = "",
        max_batch: int = MAX_BATCH,
        max_wait_ms: int = 0,
    ) -> None:
        delivery = Delivery(
            self._events, self._clock, consumer=consumer, types=types, handle=handle, pauses_s=self._pauses_s
        )
        holder = str(ids.generate(InstanceId, self._clock.now()))

        async def read(after: str) -> Batch:
            return await self._read(consumer, after, _list_names(types), max_batch, max_wait_ms)

        async def run_once() -> None:
            if await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=self._lease_ms):
                await self._run_with_lease(consumer, holder, self._deliver_all(consumer, start, read, delivery))
            else:
                await asyncio.sleep(self._lease_ms / 3000)

        await _run_forever(consumer, run_once)

    async def _run_with_lease(self, consumer: str, holder: str, work: Awaitable[None]) -> None:
        """Run the work while the lease can be renewed; release the lease at the end."""
        working = asyncio.ensure_future(work)
        renewing = asyncio.create_task(self._renew_lease(consumer, holder))
        try:
            done, _ = await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            with contextlib.suppress(Exception), context.with_timeout(1000):  # a lease that stays expires
                await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=0)

    async def _renew_lease(self, consumer: str, holder: str) -> None:
        """Renew the lease until that fails. Raises LeaseLost, or the error of the log."""
        interval_s = self._lease_ms / 4000
        while True:
            await sleep_until_tick(interval_s)
            with context.with_timeout(round(interval_s * 1000)):
                if not await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=self._lease_ms):
                    raise LeaseLost(consumer=consumer)

    async def _deliver_all(
        self, consumer: str, start: str, read: Callable[[str], Awaitable[Batch]], delivery: Delivery
    ) -> None:
        after = await self._events.get_committed(consumer=consumer)
        if not after and start:
            await self._events.commit(consumer=consumer, cursor=start)
            after = start
        while True:
            batch = await read(after)
            await delivery.deliver(batch.entries)
            if batch.cursor != after:
                await self._events.commit(consumer=consumer, cursor=batch.cursor)
            after = batch.cursor

    async def _read(self, consumer: str, after: str, types: tuple[str, ...], limit: int, max_wait_ms: int) -> Batch:
        """Return the next batch; one that is neither empty nor full is filled for at most `max_wait_ms`."""
        batch = await self._events.read(after=after, limit=limit, types=types, wait_ms=POLL_WAIT_MS, consumer=consumer)
        deadline_s = time.monotonic() + max_wait_ms / 1000
        while 0 < (found := len(batch.entries)) < limit and (left_s := deadline_s - time.monotonic()) > 0:
            more = await self._events.read(
                after=batch.cursor, limit=limit - found, types=types, wait_ms=round(left_s * 1000), consumer=consumer
            )
            batch = Batch(entries=batch.entries + more.entries, cursor=more.cursor)
        return batch


class GroupFollower:
    """A `Follower` on a log whose engine distributes the facts of a consumer among its followers."""

    def __init__(
        self, groups: ConsumerGroups, events: Events, clock: Clock, *, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._groups = groups
        self._events = events
        self._clock = clock
        self._pauses_s = pauses_s

    async def follow(
        self,
        *,
        consumer: str,
        types: tuple[type[Fact], ...],
        handle: BatchHandler,
        start: str = "",
        max_batch: int = MAX_BATCH,
        max_wait_ms: int = 0,
    ) -> None:
        delivery = Delivery(
            self._events, self._clock, consumer=consumer, types=types, handle=handle, pauses_s=self._pauses_s
        )

        async def run_once() -> None:
            await self._groups.follow(
                consumer,
                _list_names(types),
                start=start,
                handle=delivery.deliver,
                max_batch=max_batch,
                max_wait_ms=max_wait_ms,
            )

        await _run_forever(consumer, run_once)


class Delivery:
    """Delivers entries to the handler of one consumer, with retries and dead letters."""

    def __init__(
        self,
        events: Events,
        clock: Clock,
        *,
        consumer: str,
        types: tuple[type[Fact], ...],
        handle: BatchHandler,
        pauses_s: tuple[float, ...],
    ) -> None:
        self._events = events
        self._clock = clock
        self._pauses_s = pauses_s
        self._consumer = consumer
        self._types = types
        self._handle = handle

    async def deliver(self, entries: list[Entry]) -> None:
        """Return when every entry is handled or is a dead letter."""
        followed = []
        for entry in entries:
            if isinstance(entry.record.fact, self._types):
                followed.append(entry)
            else:  # redelivered to a version that no longer follows the type
                await self._add_dead_letter(entry, 0, NotFollowed(consumer=self._consumer))
        if followed:
            await self._try(followed)

    async def _try(self, entries: list[Entry]) -> None:
        """Handle a batch; after an error of its facts, not of a dependency, handle them one by one."""
        records = [entry.record for entry in entries]
        for tries in count(1):
            try:
                await self._handle(records)
                return
            except Exception as error:
                if not self._should_retry(tries, error, len(entries)):
                    await self._give_up(entries, tries, error)
                    return
                self._log_warning("events.handler_failed", entries[0], tries, error)
                await asyncio.sleep(self._pauses_s[min(tries, len(self._pauses_s)) - 1])

    def _should_retry(self, tries: int, error: Exception, count: int) -> bool:
        if isinstance(error, Problem) and error.status in {503, 504, 507}:  # a dependency is unavailable
            return tries <= len(self._pauses_s) + MAX_TRIES_UNAVAILABLE
        return count == 1 and tries <= len(self._pauses_s)

    async def _give_up(self, entries: list[Entry], tries: int, error: Exception) -> None:
        if len(entries) == 1:
            await self._add_dead_letter(entries[0], tries, error)
            return
        for entry in entries:
            await self._try([entry])

    async def _add_dead_letter(self, entry: Entry, tries: int, error: Exception) -> None:
        """Store a dead letter, and retry until that succeeds: the cursor must not pass the fact before."""
        _log.error("events.dead_letter_added", **self._describe(entry, tries), exc_info=error)
        letter = DeadLetter(
            consumer=self._consumer,
            at=self._clock.now(),
            reason=repr(error),
            tries=entry.earlier_tries + tries,
            entry=entry,
        )
        while True:
            try:
                await self._events.add_dead_letter(letter=letter)
                return
            except Exception as problem:
                self._log_warning("events.dead_letter_not_stored", entry, tries, problem)
                await asyncio.sleep(1)

    def _log_warning(self, event: str, entry: Entry, tries: int, error: Exception) -> None:
        _log.warning(event, **self._describe(entry, tries), error=repr(error))

    def _describe(self, entry: Entry, tries: int) -> dict[str, str | int]:
        return {
            "consumer": self._consumer,
            "offset": entry.offset,
            "fact_id": entry.record.fact_id,
            "tries": tries,
        }


async def _run_forever(consumer: str, run_once: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run_once()
        except Exception as error:  # the log may be unavailable; it keeps the facts until it is back
            _log.warning("events.follower_restarted", consumer=consumer, error=repr(error))
            await asyncio.sleep(1)


def _list_names(types: tuple[type[Fact], ...]) -> tuple[str, ...]:
    return tuple(type_name(fact) for fact in types)
