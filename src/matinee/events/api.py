"""The vocabulary of facts, and the one log they stand in.

A fact is a frozen Struct named in the past tense. Changes to a fact are additive only: a new field has a default.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from typing import Protocol, TypeAlias

import msgspec

from matinee.kit import log
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
from matinee.mesh.api import idempotent, patient


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all facts share: nothing but their tag, which is the class name."""


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


class PlaybackBeat(Fact, frozen=True, kw_only=True, tag=True):
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
    | EncodeFinished
    | EncodeFailed
    | PlaybackStarted
    | PlaybackBeat
    | PlaybackEnded
    | PositionMoved
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it is handed to the log. `key` keeps order: facts of one key stay in the order of their append."""

    fact_id: FactId
    at: datetime
    key: str
    fact: AnyFact
    trace_id: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record and where it stands in the log; offsets rise and are never used twice."""

    offset: int
    record: Record


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Entries after an offset, in order, and the offset to go on from."""

    entries: list[Entry]
    next_offset: int


class Events(Protocol):
    """The log of facts: append, follow, replay."""

    @idempotent
    async def append(self, *, records: list[Record]) -> list[int]:
        """Store records durably and tell their offsets. Idempotent: a `fact_id` already there keeps its offset."""

    @idempotent
    @patient(limit_ms=45_000)
    async def read(self, *, after: int, limit: int = 500, types: tuple[str, ...] = (), wait_ms: int = 0) -> Batch:
        """Entries after an offset (0 replays all), at most `limit`; waits up to `wait_ms` for the first.

        `types` are fact class names; empty means all.
        """

    @idempotent
    async def offset_at(self, *, moment: datetime) -> int:
        """The offset to read after, to see every fact appended at or after a moment."""

    @idempotent
    async def commit(self, *, consumer: str, offset: int) -> None:
        """Remember that a consumer has seen everything up to an offset; an older offset changes nothing."""

    @idempotent
    async def committed(self, *, consumer: str) -> int:
        """The offset a consumer last committed; 0 for one never heard of."""


_log = log.get()
_record_decoder = msgspec.json.Decoder(Record)
FOLLOW_WAIT_MS = 20_000
PAUSES_S = (0.1, 0.5, 2.0, 5.0)
# How often the last pause is repeated where what the handler needs is away: about ten minutes.
TRIES_WHILE_AWAY = 120


def relaying(events: Events) -> Callable[[list[bytes]], Awaitable[None]]:
    """What `drivers.outbox.Outbox.run` hands its encoded records to."""

    async def append(records: list[bytes]) -> None:
        await events.append(records=[_record_decoder.decode(record) for record in records])

    return append


async def follow(
    events: Events,
    *,
    consumer: str,
    types: tuple[type[Fact], ...],
    handle: Callable[[Record], Awaitable[None]],
    start: int = 0,
    pauses_s: tuple[float, ...] = PAUSES_S,
) -> None:
    """Hand every fact of some types to `handle`, in order, at least once, until cancelled.

    Offsets are committed after the effect. A consumer never heard of begins after `start`. A fact whose handling
    fails is tried again after each of `pauses_s`, then set aside with a line in the log, and following goes on.
    """
    names = tuple(kind.__name__ for kind in types)
    after: int | None = None
    while True:
        try:
            if after is None:
                after = await events.committed(consumer=consumer) or start
            batch = await events.read(after=after, limit=100, types=names, wait_ms=FOLLOW_WAIT_MS)
            for entry in batch.entries:
                await _handled(consumer, entry, handle, pauses_s)
            if batch.entries:
                await events.commit(consumer=consumer, offset=batch.next_offset)
            after = batch.next_offset
        except Exception as error:  # the log is away; nothing is lost while it is
            _log.warning("events.follow_waits", consumer=consumer, error=repr(error))
            await asyncio.sleep(1)


async def _handled(
    consumer: str, entry: Entry, handle: Callable[[Record], Awaitable[None]], pauses_s: tuple[float, ...]
) -> None:
    for tries in count(1):
        try:
            await handle(entry.record)
            return
        except Exception as error:
            line = {"consumer": consumer, "offset": entry.offset, "fact_id": entry.record.fact_id, "tries": tries}
            if tries > len(pauses_s) + (TRIES_WHILE_AWAY if _is_away(error) else 0):
                _log.error("events.set_aside", **line, exc_info=error)
                return
            _log.warning("events.retries", **line, error=repr(error))
            await asyncio.sleep(pauses_s[min(tries, len(pauses_s)) - 1])


def _is_away(error: Exception) -> bool:
    """Whether it is not the fact that is at fault, but something the handler needs."""
    return isinstance(error, Problem) and error.status in {503, 504, 507}
