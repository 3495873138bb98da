"""The dependencies of events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import ClassVar, Protocol

import msgspec

from matinee.events.api import Batch, DeadLetter, Entry, FactRecord, Lag

# The longest lease of a consumer.
MAX_LEASE_MS = 600_000


class EventLog(Protocol):
    """A durable log: an acknowledged append survives the process and the machine.

    `drops_repeats`: a `fact_id` is stored once, however often it is appended. `one_order`: all facts are in the order
    of their appends, not only those of one type and key.
    """

    drops_repeats: ClassVar[bool]
    one_order: ClassVar[bool]

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        """Store records; if it fails, any subset of them may be stored."""

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        """Return the entries after a cursor; the batch's cursor is after everything read. Raises BadCursor."""

    async def get_head(self) -> str:
        """Return the cursor after the newest fact."""

    async def find_cursor(self, moment: datetime) -> str:
        """Return the latest cursor that precedes every fact appended at or after a moment."""

    async def commit(self, consumer: str, cursor: str) -> None:
        """Store a consumer's cursor: never backwards, never past the end. Raises BadCursor, ConsumerInUse."""

    async def get_committed(self, consumer: str) -> str:
        """Return a consumer's cursor, or ""."""

    async def list_lags(self) -> list[Lag]:
        """Return how far behind each consumer is, by name."""


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A selection of dead letters; an empty field selects all."""

    consumer: str = ""
    types: tuple[str, ...] = ()
    fact_ids: tuple[str, ...] = ()

    def matches(self, letter: StoredDeadLetter) -> bool:
        """Return whether a letter is selected."""
        return (
            self.consumer in ("", letter.consumer)
            and (not self.types or letter.type in self.types)
            and (not self.fact_ids or letter.fact_id in self.fact_ids)
        )


class StoredDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as stored; `letter` is None if this version does not know the fact."""

    consumer: str
    fact_id: str
    type: str
    letter: DeadLetter | None


class DeadLetterStore(Protocol):
    """Dead letters: for each consumer and fact the last one."""

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Store a letter durably."""

    async def find_dead_letters(self, selection: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        """Return the newest letters that were not redelivered since, newest first."""

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        """Deliver each fact to its consumer again and remove its letter, in one durable step."""


class ConsumerLeases(Protocol):
    """Following by one reader at a time for each consumer, for a log without consumer groups."""

    async def read_for_consumer(self, consumer: str, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        """Read as `EventLog.read`, with the facts redelivered to the consumer. Raises BadCursor."""

    async def acquire_lease(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        """Give the lease to a holder, unless another's has not expired at `now`; return whether it has it."""


class ConsumerGroups(Protocol):
    """A log whose engine distributes the facts of a consumer among its followers."""

    async def follow(
        self,
        consumer: str,
        types: tuple[str, ...],
        *,
        start: str,
        handle: Callable[[list[Entry]], Awaitable[None]],
        max_batch: int,
        max_wait_ms: int,
    ) -> None:
        """Pass batches to `handle` until cancelled, and commit each after it returned. `handle` must not raise.

        It may be cancelled when another follower takes over its partition. Raises a Problem if the engine fails.
        """
