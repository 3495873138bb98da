"""Follower the log: every fact handled at least once, what cannot be handled buried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import count

from matinee.events.api import Batch, DeadLetter, Entry, Events, Fact, Handle, type_name
from matinee.events.ports import ConsumerGroups
from matinee.kit import context, ids, log
from matinee.kit.clock import Clock
from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem

_log = log.get()
FOLLOW_WAIT_MS = 20_000
LEASE_MS = 30_000
BATCH = 100
PAUSES_S = (0.1, 0.5, 2.0, 5.0)
# How often the last pause is repeated where what the handler needs is away: about ten minutes.
TRIES_WHILE_AWAY = 120


class LeaseLost(Problem, status=409):
    """Somebody else follows for this consumer now."""

    consumer: str


class NotFollowed(Problem, status=409):
    """This consumer follows facts of that type no longer."""

    consumer: str


class PollingFollower:
    """Fulfils `Follower` by reading the log, wherever it is served; a lease lets one at a time follow."""

    def __init__(
        self, events: Events, clock: Clock, *, pauses_s: tuple[float, ...] = PAUSES_S, lease_ms: int = LEASE_MS
    ) -> None:
        self._events = events
        self._clock = clock
        self._taker = Delivery(events, clock, pauses_s)
        self._lease_ms = lease_ms

    async def follow(self, *, consumer: str, types: tuple[type[Fact], ...], handle: Handle, start: str = "") -> None:
        taken = self._taker.taking(consumer, types, handle)
        holder = str(ids.generate(InstanceId, self._clock.now()))

        async def once() -> None:
            if await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=self._lease_ms):
                await self._while_held(consumer, holder, self._read_on(consumer, _names(types), start, taken))
            else:
                await asyncio.sleep(self._lease_ms / 3000)

        await _for_ever(consumer, once)

    async def _while_held(self, consumer: str, holder: str, work: Awaitable[None]) -> None:
        """Do the work for as long as the lease can be renewed; give it back in the end."""
        working = asyncio.ensure_future(work)
        renewing = asyncio.create_task(self._renew(consumer, holder))
        try:
            done, _ = await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            with contextlib.suppress(Exception), context.with_timeout(1000):  # else it runs out by itself
                await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=0)

    async def _renew(self, consumer: str, holder: str) -> None:
        """Renew the lease. Raises LeaseLost, or whatever hinders it for half of the lease."""
        every_s = self._lease_ms / 4000
        while True:
            await asyncio.sleep(every_s)
            with context.with_timeout(round(every_s * 1000)):
                if not await self._events.acquire_lease(consumer=consumer, holder=holder, lease_ms=self._lease_ms):
                    raise LeaseLost(consumer=consumer)

    async def _read_on(
        self, consumer: str, types: tuple[str, ...], start: str, taken: Callable[[Entry], Awaitable[None]]
    ) -> None:
        after = await self._events.get_committed(consumer=consumer)
        if not after and start:
            await self._events.commit(consumer=consumer, cursor=start)
            after = start
        while True:
            batch: Batch = await self._events.read(
                after=after, limit=BATCH, types=types, wait_ms=FOLLOW_WAIT_MS, consumer=consumer
            )
            for entry in batch.entries:
                await taken(entry)
            if batch.cursor != after:
                await self._events.commit(consumer=consumer, cursor=batch.cursor)
            after = batch.cursor


class GroupFollower:
    """Fulfils `Follower` on a log whose engine shares a consumer's facts among all who follow for it."""

    def __init__(
        self, groups: ConsumerGroups, events: Events, clock: Clock, *, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._groups = groups
        self._taker = Delivery(events, clock, pauses_s)

    async def follow(self, *, consumer: str, types: tuple[type[Fact], ...], handle: Handle, start: str = "") -> None:
        taken = self._taker.taking(consumer, types, handle)

        async def once() -> None:
            await self._groups.follow(consumer, _names(types), start=start, handle=taken)

        await _for_ever(consumer, once)


class Delivery:
    """Hands an entry to its handler until it is taken, or buries it."""

    def __init__(self, events: Events, clock: Clock, pauses_s: tuple[float, ...]) -> None:
        self._events = events
        self._clock = clock
        self._pauses_s = pauses_s

    def taking(
        self, consumer: str, types: tuple[type[Fact], ...], handle: Handle
    ) -> Callable[[Entry], Awaitable[None]]:
        """A function that returns once an entry is taken or buried."""

        async def taken(entry: Entry) -> None:
            if not isinstance(entry.record.fact, types):  # handed over once more, to a version that takes it no longer
                await self._bury(consumer, entry, 0, NotFollowed(consumer=consumer))
                return
            for tries in count(1):
                try:
                    await handle(entry.record)
                    return
                except Exception as error:
                    if self._is_hopeless(tries, error):
                        await self._bury(consumer, entry, tries, error)
                        return
                    _log.warning("events.retries", **_line(consumer, entry, tries), error=repr(error))
                    await asyncio.sleep(self._pauses_s[min(tries, len(self._pauses_s)) - 1])

        return taken

    def _is_hopeless(self, tries: int, error: Exception) -> bool:
        return tries > len(self._pauses_s) + (TRIES_WHILE_AWAY if _is_away(error) else 0)

    async def _bury(self, consumer: str, entry: Entry, tries: int, error: Exception) -> None:
        """Keep a fact that nobody could take. Until that is done it is not done with: the log may be away."""
        _log.error("events.set_aside", **_line(consumer, entry, tries), exc_info=error)
        letter = DeadLetter(
            consumer=consumer, at=self._clock.now(), reason=repr(error), tries=entry.tried + tries, entry=entry
        )
        while True:
            try:
                await self._events.add_dead_letter(letter=letter)
                return
            except Exception as away:
                _log.warning("events.bury_waits", **_line(consumer, entry, tries), error=repr(away))
                await asyncio.sleep(1)


async def _for_ever(consumer: str, once: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await once()
        except Exception as error:  # the log is away; nothing is lost while it is
            _log.warning("events.follow_waits", consumer=consumer, error=repr(error))
            await asyncio.sleep(1)


def _names(types: tuple[type[Fact], ...]) -> tuple[str, ...]:
    return tuple(type_name(kind) for kind in types)


def _line(consumer: str, entry: Entry, tries: int) -> dict[str, str | int]:
    return {"consumer": consumer, "place": entry.place, "fact_id": entry.record.fact_id, "tries": tries}


def _is_away(error: Exception) -> bool:
    """Whether it is not the fact that is at fault, but something the handler needs."""
    return isinstance(error, Problem) and error.status in {503, 504, 507}
