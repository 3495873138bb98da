"""Where to begin."""

from __future__ import annotations

from matinee.kit.ids import EpisodeId
from matinee.viewing.api import Position

BARELY_BEGUN_MS = 10_000
STEP_BACK_MS = 2_000


def resume_ms(position: Position | None, episode_id: EpisodeId | None, duration_ms: int) -> int:
    """A moment before the place the profile left; the beginning, if it had barely begun or was through."""
    if position is None or position.episode_id != episode_id or position.finished:
        return 0
    if position.position_ms < BARELY_BEGUN_MS or position.position_ms >= duration_ms:
        return 0
    return position.position_ms - STEP_BACK_MS
