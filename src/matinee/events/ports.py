"""What events needs of the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import ClassVar, Protocol

import msgspec

from matinee.events.api import Batch, DeadLetter, Entry, FactRecord, Lag


class EventLog(Protocol):
    """A durable log. What an append has answered survives the process and the machine.

    `drops_repeats`: a `fact_id` stands there once, however often it is appended. `one_order`: all facts stand in the
    order of their appends, not only those of one type and key.
    """

    drops_repeats: ClassVar[bool]
    one_order: ClassVar[bool]

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        """Store records; when it fails, none, some or all of them may stand there."""

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        """What lies after a cursor now. The batch's cursor is past everything looked at. Raises BadCursor."""

    async def get_head(self) -> str:
        """The cursor after the newest fact."""

    async def find_cursor(self, moment: datetime) -> str:
        """The newest cursor that every fact appended at or after a moment lies after."""

    async def commit(self, consumer: str, cursor: str) -> None:
        """Keep a consumer's place: never backwards, never past the end. Raises BadCursor, ConsumerInUse."""

    async def get_committed(self, consumer: str) -> str:
        """A consumer's place, or ""."""

    async def list_lags(self) -> list[Lag]:
        """How far behind each consumer is, by name."""


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Some dead letters: what is empty chooses all."""

    consumer: str = ""
    types: tuple[str, ...] = ()
    fact_ids: tuple[str, ...] = ()

    def takes(self, one: StoredDeadLetter) -> bool:
        """Whether a letter is among them."""
        return (
            self.consumer in ("", one.consumer)
            and (not self.types or one.type in self.types)
            and (not self.fact_ids or one.fact_id in self.fact_ids)
        )


class StoredDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as it is kept; `letter` is None where this version does not know the fact."""

    consumer: str
    fact_id: str
    type: str
    letter: DeadLetter | None


class DeadLetterStore(Protocol):
    """Facts that somebody gave up on, kept for an operator: one for each consumer and fact, the last."""

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep one, durably."""

    async def find_dead_letters(self, choice: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        """The newest that were not handed over since, newest first."""

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        """Give each to its consumer once more, and let it wait no longer: durably, both or neither."""


class ConsumerLeases(Protocol):
    """Follower by reading, by one at a time for each consumer, where the log knows no groups."""

    async def read_for_consumer(self, consumer: str, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        """As `EventLog.read`, with what was handed over to the consumer once more. Raises BadCursor."""

    async def acquire_lease(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        """Give the lease to a holder until a moment, unless another's has not run out at `now`."""


class ConsumerGroups(Protocol):
    """A log whose engine shares a consumer's facts among all who follow for it."""

    async def follow(
        self, consumer: str, types: tuple[str, ...], *, start: str, handle: Callable[[Entry], Awaitable[None]]
    ) -> None:
        """Hand entries over until cancelled, committing each after `handle` returned, which it must not fail to.

        A handler may be cancelled when another takes over what it works on. Raises a Problem when the engine is away.
        """
