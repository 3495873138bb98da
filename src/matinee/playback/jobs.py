"""The background jobs of playback."""

from __future__ import annotations

from matinee.events.api import FactRecord, Follower, ProfileChanged, ProfileRemoved, SignInsEnded
from matinee.kit import log
from matinee.playback.service import PlaybackService

CONSUMER = "playback.revoke"
_log = log.get()


async def end_idle_sessions(service: PlaybackService) -> None:
    """End the sessions of players that no longer send heartbeats."""
    if ended := await service.end_idle():
        _log.info("playback.ended_idle", sessions=ended)


async def end_revoked_sessions(service: PlaybackService, follower: Follower) -> None:
    """End the sessions of sign-ins and profiles that may no longer play, until cancelled."""

    async def end(records: list[FactRecord]) -> None:
        facts = (record.fact for record in records)
        changed = (
            fact.account_id for fact in facts if isinstance(fact, ProfileChanged | ProfileRemoved | SignInsEnded)
        )
        for account_id in dict.fromkeys(changed):
            if ended := await service.end_revoked(account_id=account_id):
                _log.info("playback.ended_revoked", account_id=account_id, sessions=ended)

    await follower.follow(consumer=CONSUMER, types=(ProfileChanged, ProfileRemoved, SignInsEnded), handle=end)
