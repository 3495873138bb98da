"""What events needs of the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import ClassVar, Protocol

from matinee.events.api import Batch, DeadLetter, Entry, Lag, Record


class EventLog(Protocol):
    """A durable log. What an append has answered survives the process and the machine.

    `drops_repeats`: a `fact_id` stands there once, however often it is appended. `one_order`: all facts stand in the
    order of their appends, not only those of one type and key.
    """

    drops_repeats: ClassVar[bool]
    one_order: ClassVar[bool]

    async def append(self, records: list[Record], *, now: datetime) -> None:
        """Store records; when it fails, none, some or all of them may stand there."""

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        """What lies after a cursor now. The batch's cursor is past everything looked at. Raises BadCursor."""

    async def head(self) -> str:
        """The cursor after the newest fact."""

    async def cursor_at(self, moment: datetime) -> str:
        """The newest cursor that every fact appended at or after a moment lies after."""

    async def commit(self, consumer: str, cursor: str) -> None:
        """Keep a consumer's place: never backwards, never past the end. Raises BadCursor, BeingFollowed."""

    async def committed(self, consumer: str) -> str:
        """A consumer's place, or ""."""

    async def lags(self) -> list[Lag]:
        """How far behind each consumer is, by name."""


class DeadLetters(Protocol):
    """Facts that somebody gave up on, kept for an operator."""

    async def bury(self, letter: DeadLetter) -> None:
        """Keep one, durably."""

    async def dead(self, *, limit: int, consumer: str) -> list[DeadLetter]:
        """The newest, newest first; an empty `consumer` means all."""


class Leases(Protocol):
    """Who follows for a consumer, where the log knows no groups."""

    async def hold(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        """Give the lease to a holder until a moment, unless another's has not run out at `now`."""


class Groups(Protocol):
    """A log whose engine shares a consumer's facts among all who follow for it."""

    async def follow(
        self, consumer: str, types: tuple[str, ...], *, start: str, handle: Callable[[Entry], Awaitable[None]]
    ) -> None:
        """Hand entries over until cancelled, committing each after `handle` returned, which it must not fail to.

        A handler may be cancelled when another takes over what it works on. Raises a Problem when the engine is away.
        """
