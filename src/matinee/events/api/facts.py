"""The facts: frozen Structs named in the past tense. Changes are additive only: a new field has a default."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from matinee.kit.ids import (
    AccountId,
    AssetId,
    DeviceId,
    EdgeId,
    EpisodeId,
    JobId,
    PlaySessionId,
    ProfileId,
    SignInId,
    TitleId,
)


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False, omit_defaults=True):
    """The superclass of all facts. The tag is the type name under which a fact is stored.

    It is the class name; a renamed fact keeps its first name as its tag, so that stored facts stay readable.
    """


def type_name(fact: Fact | type[Fact]) -> str:
    """Return the name under which facts of a type are stored."""
    return str(fact.__struct_config__.tag)


class AccountOpened(Fact, frozen=True, kw_only=True, tag=True):
    """An account was created."""

    account_id: AccountId


class AccountClosed(Fact, frozen=True, kw_only=True, tag=True):
    """An account was erased; what is stored of it must be erased too. Its profiles have facts of their own."""

    account_id: AccountId


class ProfileRemoved(Fact, frozen=True, kw_only=True, tag=True):
    """A profile was removed; its data must be erased."""

    account_id: AccountId
    profile_id: ProfileId


class ProfileChanged(Fact, frozen=True, kw_only=True, tag=True):
    """A profile was changed. `maturity` is the highest age rating that it may see now."""

    account_id: AccountId
    profile_id: ProfileId
    maturity: int


class SignInsEnded(Fact, frozen=True, kw_only=True, tag=True):
    """Sign-ins of an account were ended: one, those of one device, or, where neither is given, all."""

    account_id: AccountId
    sign_in_id: SignInId | None = None
    device_id: DeviceId | None = None


class RefreshTokenReused(Fact, frozen=True, kw_only=True, tag=True):
    """A refresh token was used after its successor: the sign-in was revoked."""

    account_id: AccountId
    device_id: DeviceId


class TitlePublished(Fact, frozen=True, kw_only=True, tag=True):
    """A title, or one more of its assets, can be played."""

    title_id: TitleId
    asset_id: AssetId | None = None


class TitleWithdrawn(Fact, frozen=True, kw_only=True, tag=True):
    """A title is no longer offered."""

    title_id: TitleId


class TitleChanged(Fact, frozen=True, kw_only=True, tag=True):
    """What is shown of a title, or what can be played of it, changed.

    `aspects` are any of `details`, `artwork`, `episodes` and `assets`. Readers with a copy read the title again.
    """

    title_id: TitleId
    aspects: tuple[str, ...] = ()


class EncodeFinished(Fact, frozen=True, kw_only=True, tag=True):
    """An encoding job succeeded; its asset is attached to the title."""

    job_id: JobId
    title_id: TitleId
    asset_id: AssetId


class EncodeFailed(Fact, frozen=True, kw_only=True, tag=True):
    """An encoding job failed."""

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
    """A player's position, and its measurements since its last heartbeat, in the terms of CTA-2066.

    `at` is when the player was there, by the device's clock unless that is wrong: after it was offline it reports late.
    In the states `starting` and `failed`, and where it has not moved, the position is not the viewer's new one. Account
    and device are those of `PlaybackStarted`.
    """

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
    episode_id: EpisodeId | None = None
    duration_ms: int = 0
    at: datetime | None = None


class PlaybackEnded(Fact, frozen=True, kw_only=True, tag=True):
    """A play session was closed, or ended because its player stopped reporting."""

    session_id: PlaySessionId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    reason: str


class PositionMoved(Fact, frozen=True, kw_only=True, tag=True):
    """The position of a profile changed: a fact of earlier versions. Now `PlaybackHeartbeat` tells it."""

    account_id: AccountId
    profile_id: ProfileId
    title_id: TitleId
    position_ms: int
    duration_ms: int
    device_id: DeviceId
    updated_at: datetime
    episode_id: EpisodeId | None = None


class SearchEnded(Fact, frozen=True, kw_only=True, tag=True):
    """A viewer ended a search, by opening a result or by leaving what was found. One for a search, not for a keystroke.

    `titles`, `people` and `genres` are the numbers of results shown, `title_ids` the first titles. `opened_kind` is
    `title`, `person` or `genre`, None where nothing was opened; `opened_position` counts from 1. Without a
    `profile_id` it was the profile of a child. With `partial` the index did not answer in time.
    """

    query: str
    language: str
    profile_id: ProfileId | None = None
    titles: int = 0
    people: int = 0
    genres: int = 0
    title_ids: tuple[TitleId, ...] = ()
    corrected: bool = False
    partial: bool = False
    opened_kind: str | None = None
    opened_id: str = ""
    opened_position: int = 0


AnyFact: TypeAlias = (
    AccountOpened
    | AccountClosed
    | ProfileChanged
    | ProfileRemoved
    | SignInsEnded
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
    | SearchEnded
)
