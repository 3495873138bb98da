"""The background jobs of playback; each runs until cancelled."""

from __future__ import annotations

import asyncio

from matinee.kit import log
from matinee.playback.service import PlaybackService

_log = log.get()
EVERY_S = 15.0


async def end_idle_sessions(service: PlaybackService, *, every_s: float = EVERY_S) -> None:
    """End the sessions of players that no longer send heartbeats."""
    while True:
        try:
            if ended := await service.end_idle():
                _log.info("playback.ended_idle", sessions=ended)
        except Exception as error:  # a dependency may be unavailable; the next run tries again
            _log.warning("playback.end_idle_failed", error=repr(error))
        await asyncio.sleep(every_s)
