"""The vocabulary of facts, and the one log they stand in.

A fact is a frozen Struct named in the past tense. Changes to a fact are additive only: a new field has a default.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from matinee.kit import context, ids
from matinee.kit.ids import (
    AccountId,
    AssetId,
    DeviceId,
    EdgeId,
    EpisodeId,
    FactId,
    JobId,
    PlaySessionId,
    ProfileId,
    TitleId,
)
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent, long_running


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all facts share: the tag under which they are stored.

    It is the class name, except where a fact was renamed: then it is the earlier name, so that stored facts stay readable.
    """


def type_name(fact: Fact | type[Fact]) -> str:
    """Return the name under which facts of a type are stored."""
    return str(fact.__struct_config__.tag)


class AccountOpened(Fact, frozen=True, kw_only=True, tag=True):
    """Somebody signed up."""

    account_id: AccountId


class ProfileRemoved(Fact, frozen=True, kw_only=True, tag=True):
    """A profile is gone; what belonged to it is to be erased."""

    account_id: AccountId
    profile_id: ProfileId


class RefreshTokenReused(Fact, frozen=True, kw_only=True, tag=True):
    """A refresh token came back after its successor was used: the sign-in was revoked."""

    account_id: AccountId
    device_id: DeviceId


class TitlePublished(Fact, frozen=True, kw_only=True, tag=True):
    """A title, or one more asset of it, can be played."""

    title_id: TitleId
    asset_id: AssetId | None = None


class TitleWithdrawn(Fact, frozen=True, kw_only=True, tag=True):
    """A title is no longer offered."""

    title_id: TitleId


class TitleChanged(Fact, frozen=True, kw_only=True, tag=True):
    """What is shown of a title, or what can be played of it, changed.

    `aspects` are any of `details`, `artwork`, `episodes` and `assets`. A reader that keeps a copy reads the title again.
    """

    title_id: TitleId
    aspects: tuple[str, ...] = ()


class EncodeFinished(Fact, frozen=True, kw_only=True, tag=True):
    """A job ended well; its asset is attached."""

    job_id: JobId
    title_id: TitleId
    asset_id: AssetId


class EncodeFailed(Fact, frozen=True, kw_only=True, tag=True):
    """A job ended without an asset."""

    job_id: JobId
    title_id: TitleId
    reason: str


class PlaybackStarted(Fact, frozen=True, kw_only=True, tag=True):
    """A play session was opened."""

    session_id: PlaySessionId
    account_id: AccountId
    profile_id: ProfileId
    device_id: DeviceId
    title_id: TitleId
    asset_id: AssetId
    episode_id: EpisodeId | None = None
    edge_ids: tuple[EdgeId, ...] = ()
    resumed_at_ms: int = 0


class PlaybackHeartbeat(Fact, frozen=True, kw_only=True, tag="PlaybackBeat"):
    """What the player saw since its last heartbeat (terms of CTA-2066)."""

    session_id: PlaySessionId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    state: str
    playing_ms: int = 0
    rebuffering_ms: int = 0
    rebuffer_count: int = 0
    join_time_ms: int | None = None
    bandwidth_bps: int | None = None
    rendition: str | None = None
    dropped_frames: int = 0
    edge_id: EdgeId | None = None
    error_code: str | None = None


class PlaybackEnded(Fact, frozen=True, kw_only=True, tag=True):
    """A play session was closed, or was not heard of for too long."""

    session_id: PlaySessionId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    reason: str


class PositionMoved(Fact, frozen=True, kw_only=True, tag=True):
    """A profile is now elsewhere in a title or episode."""

    account_id: AccountId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    duration_ms: int
    device_id: DeviceId
    updated_at: datetime
    episode_id: EpisodeId | None = None


AnyFact: TypeAlias = (
    AccountOpened
    | ProfileRemoved
    | RefreshTokenReused
    | TitlePublished
    | TitleWithdrawn
    | TitleChanged
    | EncodeFinished
    | EncodeFailed
    | PlaybackStarted
    | PlaybackHeartbeat
    | PlaybackEnded
    | PositionMoved
)


class FactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it is handed to the log. `key` keeps order: facts of one type and key stay as they were appended."""

    fact_id: FactId
    at: datetime
    key: str
    fact: AnyFact
    trace_id: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record and where it stands in the log, in words for people: `41`, or `PlaybackHeartbeat/3/41`.

    `tried`: how often it was tried in vain before it was handed over once more; 0 for what nobody gave up on.
    """

    place: str
    record: FactRecord
    tried: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Entries after a cursor, and the cursor to go on from."""

    entries: list[Entry]
    cursor: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that a consumer could not take, however often it was tried, and why."""

    consumer: str
    at: datetime
    reason: str
    tries: int
    entry: Entry


class RetryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed over once more, oldest first.

    `unknown`: the facts whose type this version does not know, by their ids; they stay dead letters. `more`: as many
    were handed over as may be at once, and more may wait.
    """

    letters: list[DeadLetter]
    unknown: dict[str, str]
    more: bool


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How many facts stand in the log after what a consumer has committed."""

    consumer: str
    behind: int


class BadCursor(Problem, status=422):
    """That is no place in this log."""


class ConsumerInUse(Problem, status=409):
    """A consumer's place cannot be set while somebody follows for it."""

    consumer: str


class ConsumerNotFound(Problem, status=404):
    """Nobody of that name ever followed the log."""

    consumer: str


class DeadLetterNotFound(Problem, status=404):
    """No such fact waits as a dead letter."""

    fact_ids: list[str]


class LeasesNotSupported(Problem, status=501):
    """This log is followed in groups, straight on its engine; it gives no leases."""


class Events(Protocol):
    """The log of facts: append, read, replay.

    Order: facts of one type and one key are read in the order of their appends. Of facts that differ in type or key
    nothing is promised (one batch shows them by the time of their append). What is appended again because an answer
    was lost may stand there twice: consumers take each fact at least once, and know it again by its `fact_id`; an
    append that is tried again until it succeeds leaves the last copy of each fact in order.

    A place in the log is a `cursor`: text that only its log understands; "" is before everything. A cursor that came
    with a batch speaks of the types that were asked for; that of `head` and `cursor_at` of all. A type or a partition
    that is newer than a cursor is read from its own beginning.
    """

    @idempotent
    async def append(self, *, records: list[FactRecord]) -> None:
        """Store records durably; on a log that can tell, a `fact_id` that is there already changes nothing."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def read(
        self, *, after: str, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0, consumer: str = ""
    ) -> Batch:
        """Entries after a cursor, at most `limit`; waits up to `wait_ms` for the first.

        `types` are fact class names; empty means all. `consumer`: who follows by reading, and is given what was handed
        over to it once more as well. Raises BadCursor; LeasesNotSupported where a consumer is named and cannot read so.
        """

    @idempotent
    async def get_head(self) -> str:
        """The cursor after the newest fact."""

    @idempotent
    async def find_cursor(self, *, moment: datetime) -> str:
        """The cursor to read after, to see every fact appended at or after a moment (by its appender's clock)."""

    @idempotent
    async def commit(self, *, consumer: str, cursor: str) -> None:
        """Remember that a consumer has seen everything up to a cursor; an older one changes nothing.

        Raises BadCursor, and ConsumerInUse where a group follows for this consumer.
        """

    @idempotent
    async def get_committed(self, *, consumer: str) -> str:
        """The cursor a consumer last committed; "" for one never heard of."""

    @idempotent
    async def list_lags(self) -> list[Lag]:
        """How far behind each consumer is that ever committed, by name."""

    @idempotent
    async def acquire_lease(self, *, consumer: str, holder: str, lease_ms: int) -> bool:
        """Take, keep or (0 ms) give back the right to follow for a consumer; False while somebody else has it.

        Raises LeasesNotSupported.
        """

    @idempotent
    async def add_dead_letter(self, *, letter: DeadLetter) -> None:
        """Keep a fact that a consumer gives up on."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def list_dead_letters(self, *, limit: int = 100, consumer: str = "") -> list[DeadLetter]:
        """The newest dead letters, newest first; of one consumer, or of all."""

    @idempotent
    @long_running(limit_ms=45_000)
    async def retry_dead_letters(
        self, *, consumer: str = "", types: tuple[str, ...] = (), fact_ids: tuple[str, ...] = ()
    ) -> RetryResult:
        """Hand dead letters over once more, each to the consumer that gave up on it and to no other.

        Of one consumer, of some types, of some facts; whatever is not said chooses all. From then on they are no dead
        letters, until they fail again. Raises ConsumerNotFound, DeadLetterNotFound.
        """


Handle: TypeAlias = Callable[[FactRecord], Awaitable[None]]


class Follower(Protocol):
    """Facts handed to whoever follows, in this process; not called over the mesh."""

    async def follow(self, *, consumer: str, types: tuple[type[Fact], ...], handle: Handle, start: str = "") -> None:
        """Hand every fact of some types to `handle`, at least once, until cancelled.

        However many follow under one consumer's name, each fact is handled by one of them, and the facts of one type
        and key one after another, in order; facts of different keys may be handled at the same time. A place is
        committed only after the effect. A fact that fails is tried again, then buried as a dead letter, and following
        goes on; handed over once more it comes after what came meanwhile, and, in a group, perhaps at the same time as
        another of its key. A consumer never heard of begins after `start`, a cursor.
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
