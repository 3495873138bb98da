"""The vocabulary of facts, and the one log they stand in.

A fact is a frozen Struct named in the past tense. Changes to a fact are additive only: a new field has a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

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
