"""A play session, and what a heartbeat means to it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matinee.events.api import PlaybackEnded, PlaybackHeartbeat, PlaybackStarted
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, AssetId, DeviceId, EdgeId, EpisodeId, PlaySessionId, ProfileId, TitleId
from matinee.playback.api import Capabilities, Heartbeat
from matinee.viewing.api import Position

# In these states the player is not yet, or no longer, where the viewer is.
_NOWHERE = frozenset({"starting", "failed"})


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a play session. `avoid` are the edges that last failed it."""

    session_id: PlaySessionId
    account_id: AccountId
    profile_id: ProfileId
    device_id: DeviceId
    title_id: TitleId
    asset_id: AssetId
    original_language: str
    capabilities: Capabilities
    duration_ms: int
    client_ip: str
    started_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    position_ms: int
    episode_id: EpisodeId | None = None
    avoid: tuple[EdgeId, ...] = ()
    ended_at: datetime | None = None


def belongs(session: StoredSession, principal: Principal) -> bool:
    """Whether a session is this viewer's."""
    return session.profile_id == principal.profile_id and session.account_id == principal.account_id


def position_in(session: StoredSession, heartbeat: Heartbeat) -> int:
    """The place a heartbeat names, inside the film."""
    return min(max(0, heartbeat.position_ms), session.duration_ms)


def moved_to(session: StoredSession, heartbeat: Heartbeat, now: datetime) -> Position | None:
    """The viewer's new position; None where a heartbeat tells of none.

    The device's time counts, so that a late heartbeat does not undo a newer one; a clock that says a time before
    the session began, or after now, is wrong, and ours is taken.
    """
    if heartbeat.state in _NOWHERE:
        return None
    return Position(
        account_id=session.account_id,
        profile_id=session.profile_id,
        title_id=session.title_id,
        episode_id=session.episode_id,
        position_ms=position_in(session, heartbeat),
        duration_ms=session.duration_ms,
        updated_at=heartbeat.at if session.started_at <= heartbeat.at <= now else now,
        device_id=session.device_id,
    )


def started(session: StoredSession, edge_ids: tuple[EdgeId, ...]) -> PlaybackStarted:
    """The fact that a session was opened."""
    return PlaybackStarted(
        session_id=session.session_id,
        account_id=session.account_id,
        profile_id=session.profile_id,
        device_id=session.device_id,
        title_id=session.title_id,
        asset_id=session.asset_id,
        episode_id=session.episode_id,
        edge_ids=edge_ids,
        resumed_at_ms=session.position_ms,
    )


def seen(session: StoredSession, heartbeat: Heartbeat) -> PlaybackHeartbeat:
    """The fact of a heartbeat."""
    return PlaybackHeartbeat(
        session_id=session.session_id,
        profile_id=session.profile_id,
        title_id=session.title_id,
        position_ms=position_in(session, heartbeat),
        state=heartbeat.state,
        playing_ms=heartbeat.playing_ms,
        rebuffering_ms=heartbeat.rebuffering_ms,
        rebuffer_count=heartbeat.rebuffer_count,
        join_time_ms=heartbeat.join_time_ms,
        bandwidth_bps=heartbeat.bandwidth_bps,
        rendition=heartbeat.rendition,
        dropped_frames=heartbeat.dropped_frames,
        edge_id=heartbeat.edge_id,
        error_code=heartbeat.error_code,
    )


def ended(session: StoredSession, position_ms: int, reason: str) -> PlaybackEnded:
    """The fact that a session is over; `reason` is `stopped`, `ended`, `failed` or `lost`."""
    return PlaybackEnded(
        session_id=session.session_id,
        profile_id=session.profile_id,
        title_id=session.title_id,
        position_ms=position_ms,
        reason=reason,
    )


def end_reason(heartbeat: Heartbeat) -> str:
    """Why a player closes its session."""
    return heartbeat.state if heartbeat.state in {"ended", "failed"} else "stopped"
