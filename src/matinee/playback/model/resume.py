"""Where playback starts."""

from __future__ import annotations

from matinee.kit.ids import EpisodeId
from matinee.viewing.api import Position

EARLIEST_RESUME_MS = 10_000
STEP_BACK_MS = 2_000


def compute_resume_ms(position: Position | None, episode_id: EpisodeId | None, duration_ms: int) -> int:
    """Compute the start: shortly before the last position; 0 for a title that is finished or barely started."""
    if position is None or position.episode_id != episode_id or position.is_finished:
        return 0
    if position.position_ms < EARLIEST_RESUME_MS or position.position_ms >= duration_ms:
        return 0
    return position.position_ms - STEP_BACK_MS
