"""A play session, and the positions and facts of its heartbeats."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from matinee.events.api import PlaybackEnded, PlaybackHeartbeat, PlaybackStarted
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, AssetId, DeviceId, EdgeId, EpisodeId, PlaySessionId, ProfileId, SignInId, TitleId
from matinee.kit.structs import build_from
from matinee.playback.api import Capabilities, Heartbeat
from matinee.viewing.api import Position

# So many of the edges that a session was given are remembered.
_SERVED_LIMIT = 16
# In these states the player's position is not the viewer's.
_WITHOUT_POSITION = frozenset({"starting", "failed"})
_EARLIEST_RESUME_MS = 10_000
_STEP_BACK_MS = 2_000


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A play session as stored.

    `sign_in_id` is the sign-in that started it, `maturity` the age rating of the title, `avoid` the edges that failed
    last, `served` those that it was given. Without `heartbeats` its player reports nothing.
    """

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
    sign_in_id: SignInId | None = None
    maturity: int = 0
    avoid: tuple[EdgeId, ...] = ()
    served: tuple[EdgeId, ...] = ()
    heartbeats: bool = True
    ended_at: datetime | None = None


def is_owned_by(session: StoredSession, principal: Principal) -> bool:
    """Return whether a session belongs to this profile."""
    return session.profile_id == principal.profile_id and session.account_id == principal.account_id


def add_served(session: StoredSession, edge_ids: Iterable[EdgeId]) -> tuple[EdgeId, ...]:
    """Return the edges that a session was given, with more of them."""
    return tuple(dict.fromkeys((*session.served, *edge_ids)))[-_SERVED_LIMIT:]


def clamp_position(session: StoredSession, heartbeat: Heartbeat) -> int:
    """Return a heartbeat's position, limited to the duration of the film."""
    return min(max(0, heartbeat.position_ms), session.duration_ms)


def has_position(heartbeat: Heartbeat) -> bool:
    """Return whether the player's position is the viewer's."""
    return heartbeat.state not in _WITHOUT_POSITION


def to_position(
    session: StoredSession, heartbeat: Heartbeat, now: datetime, last_ms: int | None = None
) -> Position | None:
    """Return the viewer's new position, or None where the heartbeat has none or has not moved.

    A player that stands still, such as a paused one in a forgotten tab, must not replace the position of another.
    `last_ms` is the position of a heartbeat that may not be stored yet.
    """
    position_ms = clamp_position(session, heartbeat)
    stands_still = position_ms == session.position_ms and last_ms in (None, position_ms)
    if stands_still or not has_position(heartbeat):
        return None
    return build_from(
        session,
        Position,
        position_ms=position_ms,
        updated_at=_choose_time(session, heartbeat, now),
    )


def to_started_fact(session: StoredSession, edge_ids: tuple[EdgeId, ...]) -> PlaybackStarted:
    """Return the fact that a session started."""
    return build_from(session, PlaybackStarted, edge_ids=edge_ids, resumed_at_ms=session.position_ms)


def _choose_time(session: StoredSession, heartbeat: Heartbeat, now: datetime) -> datetime:
    """Return when the player was at a position, so that a late heartbeat does not replace a newer one.

    Without `sent_at` it is the device's time, or now if that is before the session or ahead.
    """
    if heartbeat.sent_at is not None:
        age = min(heartbeat.sent_at - heartbeat.at, now - session.started_at)
        return now - max(timedelta(), age)
    return heartbeat.at if session.started_at <= heartbeat.at <= now else now


def to_heartbeat_fact(session: StoredSession, heartbeat: Heartbeat, now: datetime) -> PlaybackHeartbeat:
    """Return the fact of a heartbeat."""
    return build_from(
        heartbeat,
        PlaybackHeartbeat,
        session_id=session.session_id,
        profile_id=session.profile_id,
        title_id=session.title_id,
        episode_id=session.episode_id,
        position_ms=clamp_position(session, heartbeat),
        duration_ms=session.duration_ms,
        at=_choose_time(session, heartbeat, now),
    )


def to_ended_fact(session: StoredSession, position_ms: int, reason: str) -> PlaybackEnded:
    """Return the fact that a session ended; `reason` is `stopped`, `ended`, `failed`, `lost` or `revoked`."""
    return build_from(session, PlaybackEnded, position_ms=position_ms, reason=reason)


def get_end_reason(heartbeat: Heartbeat) -> str:
    """Return why a player ends its session."""
    return heartbeat.state if heartbeat.state in {"ended", "failed"} else "stopped"


def compute_resume_ms(position: Position | None, episode_id: EpisodeId | None, duration_ms: int) -> int:
    """Compute the start: shortly before the last position; 0 for a title that is finished or barely started."""
    if position is None or position.episode_id != episode_id or position.is_finished:
        return 0
    if position.position_ms < _EARLIEST_RESUME_MS or position.position_ms >= duration_ms:
        return 0
    return position.position_ms - _STEP_BACK_MS
