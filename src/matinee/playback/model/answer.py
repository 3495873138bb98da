"""The answer to a start: all that a player needs."""

from __future__ import annotations

from matinee.catalogue.api import Asset, Playable
from matinee.kit.structs import build_from
from matinee.playback.api import AudioChoice, ChapterStart, NextUp, PlaySession, Renewal, TextChoice, ThumbnailSheets
from matinee.playback.model import links
from matinee.playback.model.sessions import StoredSession


def build_play_session(
    session: StoredSession,
    playable: Playable,
    asset: Asset,
    grants: Renewal,
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
        hls_clearkey_path=folder + "master.m3u8?keys=clearkey",
        clearkey_path=links.build_key_links(grants.licence_token).licence,
        beacon_path=links.build_beacon_path(key, session.session_id, session.expires_at),
        licence_path=links.LICENCE_PATH,
        licence_token=grants.licence_token,
        deliveries=grants.deliveries,
        expires_at=grants.expires_at,
        heartbeat_ms=heartbeat_ms,
        start_bandwidth_bps=start_bandwidth_bps,
        episode_id=episode.episode_id if episode else None,
        episode_names=episode.names if episode else {},
        season_number=episode.season_number if episode else None,
        episode_number=episode.number if episode else None,
        next_up=build_from(playable.next_episode, NextUp) if playable.next_episode else None,
        # Several bit rates of one kind of audio are listed once.
        audio=list(dict.fromkeys(build_from(track, AudioChoice) for track in asset.audio)),
        text=[build_from(track, TextChoice) for track in asset.text],
        thumbnails=build_from(asset.thumbnails, ThumbnailSheets) if asset.thumbnails else None,
        chapters=[build_from(chapter, ChapterStart) for chapter in asset.chapters],
    )
