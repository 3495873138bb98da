"""The public interface of events: the facts, and the log that stores them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from matinee.events.api.facts import (
    AccountClosed,
    AccountOpened,
    AnyFact,
    EncodeFailed,
    EncodeFinished,
    Fact,
    PlaybackEnded,
    PlaybackHeartbeat,
    PlaybackStarted,
    PositionMoved,
    ProfileChanged,
    ProfileRemoved,
    RefreshTokenReused,
    SearchEnded,
    SignInsEnded,
    TitleChanged,
    TitlePublished,
    TitleWithdrawn,
    type_name,
)
from matinee.kit import context, ids
from matinee.kit.ids import FactId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent, long_running

__all__ = [
    "AccountClosed",
    "AccountOpened",
    "AnyFact",
    "BadCursor",
    "Batch",
    "BatchHandler",
    "ConsumerInUse",
    "ConsumerNotFound",
    "DeadLetter",
    "DeadLetterNotFound",
    "EncodeFailed",
    "EncodeFinished",
    "Entry",
    "Events",
    "Fact",
    "FactOutbox",
    "FactRecord",
    "Follower",
    "Lag",
    "LeasesNotSupported",
    "PlaybackEnded",
    "PlaybackHeartbeat",
    "PlaybackStarted",
    "PositionMoved",
    "ProfileChanged",
    "ProfileRemoved",
    "RefreshTokenReused",
    "RetryResult",
    "SearchEnded",
    "SignInsEnded",
    "TitleChanged",
    "TitlePublished",
    "TitleWithdrawn",
    "new_record",
    "relay_facts",
    "type_name",
]


class FactRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact to append. Facts of one type and one `key` keep the order of their appends."""

    fact_id: FactId
    at: datetime
    key: str
    fact: AnyFact
    trace_id: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record in the log.

    `offset` names its position for people: `41`, or `PlaybackStarted/3/41`. `earlier_tries` counts the failed tries
    before the fact was redelivered from the dead letters; it is 0 for any other fact.
    """

    offset: str = msgspec.field(name="place")
    record: FactRecord
    earlier_tries: int = msgspec.field(name="tried", default=0)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Entries after a cursor, and the cursor after them."""

    entries: list[Entry]
    cursor: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A fact whose handling failed at every try, and the last error."""

    consumer: str
    at: datetime
    reason: str
    tries: int
    entry: Entry


class RetryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters that were redelivered, oldest first.

    `unknown` maps the ids of facts whose type this version does not know to that type; these remain dead letters.
    `more` is true when the limit of one call was reached and further letters may remain.
    """

    letters: list[DeadLetter]
    unknown: dict[str, str]
    more: bool


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """The number of facts in the log after a consumer's committed cursor."""

    consumer: str
    behind: int


class BadCursor(Problem, status=422):
    """The text is not a cursor of this log."""


class ConsumerInUse(Problem, status=409):
    """The cursor of a consumer cannot be set while a follower is running for it."""

    consumer: str


class ConsumerNotFound(Problem, status=404):
    """No consumer of this name has followed the log."""

    consumer: str


class DeadLetterNotFound(Problem, status=404):
    """There is no dead letter for one of these facts."""

    fact_ids: list[str]


class LeasesNotSupported(Problem, status=501):
    """Followers of this log use the consumer groups of its engine, not leases."""


class Events(Protocol):
    """The log of facts: append, read, replay.

    Order: facts of one type and one key are read in the order of their appends. Between facts of different types or
    keys no order is guaranteed; a batch sorts them by the time of their append. A fact that is appended again because
    an answer was lost may be stored twice: consumers receive each fact at least once and recognise it by its `fact_id`.
    An appender that retries until it succeeds leaves the last copy of each fact in order.

    A cursor is a position in the log, as text that only the log understands; "" is before the first fact. The cursor
    of a batch covers the types that were read; those of `get_head` and `find_cursor` cover all types. A type or a
    partition that a cursor does not cover is read from its beginning.
    """

    @idempotent
    async def append(self, *, records: list[FactRecord]) -> None:
        """Store records durably. Where the log can tell, a `fact_id` that is already stored is skipped."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def read(
        self, *, after: str, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0, consumer: str = ""
    ) -> Batch:
        """Return at most `limit` entries after a cursor; wait up to `wait_ms` for the first.

        `types` are names of facts, by class or as stored; empty means all. With a `consumer`, redelivered facts are
        included. Raises BadCursor, and LeasesNotSupported for a consumer of a log with consumer groups.
        """

    @idempotent
    async def get_head(self) -> str:
        """Return the cursor after the newest fact."""

    @idempotent
    async def find_cursor(self, *, moment: datetime) -> str:
        """Return the cursor before every fact appended at or after a moment, by the appender's clock."""

    @idempotent
    async def commit(self, *, consumer: str, cursor: str) -> None:
        """Store that a consumer has handled everything before a cursor; an older cursor changes nothing.

        Raises BadCursor, and ConsumerInUse while a group follows for this consumer.
        """

    @idempotent
    async def get_committed(self, *, consumer: str) -> str:
        """Return the cursor that a consumer committed last; "" for an unknown consumer."""

    @idempotent
    async def list_lags(self) -> list[Lag]:
        """Return how far behind each consumer is that has ever committed, by name."""

    @idempotent
    async def acquire_lease(self, *, consumer: str, holder: str, lease_ms: int) -> bool:
        """Acquire, renew or (with 0 ms) release the right to follow for a consumer; False while another has it.

        Raises LeasesNotSupported.
        """

    @idempotent
    async def add_dead_letter(self, *, letter: DeadLetter) -> None:
        """Store a fact that a consumer could not handle."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def list_dead_letters(self, *, limit: int = 100, consumer: str = "") -> list[DeadLetter]:
        """Return the newest dead letters, newest first, of one consumer or of all. Raises ConsumerNotFound."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def retry_dead_letters(
        self, *, consumer: str = "", types: tuple[str, ...] = (), fact_ids: tuple[str, ...] = ()
    ) -> RetryResult:
        """Redeliver dead letters, each to the consumer that failed to handle it.

        The arguments select letters by consumer, type and fact; an empty one selects all. A redelivered fact is a dead
        letter again only after it fails again. Raises ConsumerNotFound, DeadLetterNotFound.
        """


BatchHandler: TypeAlias = Callable[[list[FactRecord]], Awaitable[None]]


class Follower(Protocol):
    """Delivers facts to a handler in this process; it is not called over the mesh."""

    async def follow(
        self,
        *,
        consumer: str,
        types: tuple[type[Fact], ...],
        handle: BatchHandler,
        start: str = "",
        max_batch: int = 1000,
        max_wait_ms: int = 0,
    ) -> None:
        """Pass every fact of some types to `handle` in batches, at least once, until cancelled.

        A batch has at most `max_batch` facts. One that is not full is passed on after `max_wait_ms`.

        Of all followers of one consumer, one handles each fact, and the facts of one type and key are handled one
        after another, in order; facts of different keys may be handled at the same time. The cursor is committed
        after the effect. When a batch fails, its facts are tried one by one; a fact that keeps failing becomes a dead
        letter, and following goes on. A redelivered fact comes after the facts that were appended in the meantime,
        and in a group possibly at the same time as another fact of its key. A new consumer starts after `start`.
        """


class FactOutbox(Protocol):
    """Facts stored in the transaction of the state that they describe, waiting for the log."""

    async def run(self, append: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Pass encoded records to `append`, at least once and in order, until cancelled."""


_record_decoder = msgspec.json.Decoder(FactRecord)


def new_record(fact: AnyFact, *, key: str, now: datetime) -> FactRecord:
    """Return a fact as a record with an id of its own and the trace id of the current context."""
    trace_id = context.current().trace_id
    return FactRecord(fact_id=ids.generate(FactId, now), at=now, key=key, fact=fact, trace_id=trace_id)


async def relay_facts(outbox: FactOutbox, events: Events) -> None:
    """Append the records of an outbox to the log, until cancelled."""

    async def append(records: list[bytes]) -> None:
        await events.append(records=[_record_decoder.decode(record) for record in records])

    await outbox.run(append)
