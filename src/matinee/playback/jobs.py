"""The scheduled work of playback."""

from __future__ import annotations

from matinee.kit import log
from matinee.playback.service import PlaybackService

_log = log.get()


async def end_idle_sessions(service: PlaybackService) -> None:
    """End the sessions of players that no longer send heartbeats."""
    if ended := await service.end_idle():
        _log.info("playback.ended_idle", sessions=ended)
