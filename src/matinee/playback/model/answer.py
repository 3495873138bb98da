"""The answer to a start: all that a player needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from matinee.catalogue.api import Asset, Episode, Playable
from matinee.playback.api import AudioChoice, Delivery, NextUp, PlaySession, TextChoice, ThumbnailSheets
from matinee.playback.model import links
from matinee.playback.model.sessions import StoredSession


class SessionGrants(msgspec.Struct, frozen=True, kw_only=True):
    """The signed links and the licence token of a session, and when they expire."""

    deliveries: Sequence[Delivery]
    licence_token: str
    expires_at: datetime


def build_play_session(
    session: StoredSession,
    playable: Playable,
    asset: Asset,
    grants: SessionGrants,
    *,
    key: bytes,
    heartbeat_ms: int,
    start_bandwidth_bps: int,
) -> PlaySession:
    """Build the answer; `asset` has only the tracks that the device can play."""
    folder = links.build_manifest_folder(key, session.session_id, session.expires_at)
    episode = playable.episode
    return PlaySession(
        session_id=session.session_id,
        title_id=session.title_id,
        names=playable.names,
        asset_id=asset.asset_id,
        duration_ms=asset.duration_ms,
        resume_ms=session.position_ms,
        dash_path=folder + "manifest.mpd",
        hls_path=folder + "master.m3u8",
        beacon_path=links.build_beacon_path(key, session.session_id, session.expires_at),
        licence_path=links.LICENCE_PATH,
        licence_token=grants.licence_token,
        deliveries=list(grants.deliveries),
        expires_at=grants.expires_at,
        heartbeat_ms=heartbeat_ms,
        start_bandwidth_bps=start_bandwidth_bps,
        episode_id=episode.episode_id if episode else None,
        episode_names=episode.names if episode else {},
        season_number=episode.season_number if episode else None,
        episode_number=episode.number if episode else None,
        next_up=_describe_next(playable.next_episode),
        audio=_list_audio(asset),
        text=[TextChoice(language=t.language, role=t.role, label=t.label) for t in asset.text],
        thumbnails=_describe_thumbnails(asset),
    )


def _list_audio(asset: Asset) -> list[AudioChoice]:
    """List the kinds of audio; several bit rates of one kind are listed once."""
    choices = [AudioChoice(language=t.language, channels=t.channels, role=t.role, label=t.label) for t in asset.audio]
    return list(dict.fromkeys(choices))


def _describe_next(episode: Episode | None) -> NextUp | None:
    if episode is None:
        return None
    return NextUp(
        episode_id=episode.episode_id,
        season_number=episode.season_number,
        number=episode.number,
        names=episode.names,
    )


def _describe_thumbnails(asset: Asset) -> ThumbnailSheets | None:
    sheets = asset.thumbnails
    if sheets is None:
        return None
    return ThumbnailSheets(**{name: getattr(sheets, name) for name in ThumbnailSheets.__struct_fields__})
