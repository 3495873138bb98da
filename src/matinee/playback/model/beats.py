"""What a player may say in a heartbeat."""

from __future__ import annotations

from collections.abc import Iterator

from matinee.kit.problem import Fault, Invalid
from matinee.playback.api import Beat

_DAY_MS = 86_400_000
_BPS_LIMIT = 10**12
_WORD_LIMIT = 100


def check_beat(beat: Beat) -> None:
    """Raises Invalid for figures that cannot be, before anything is counted."""
    if faults := list(_faults(beat)):
        raise Invalid(faults=faults)


def _faults(beat: Beat) -> Iterator[Fault]:
    if beat.at.tzinfo is None:
        yield Fault("at", "a time says its zone: end it in `Z`")
    for field in ("playing_ms", "rebuffering_ms", "join_time_ms"):
        if not 0 <= (getattr(beat, field) or 0) <= _DAY_MS:
            yield Fault(field, "this is from 0 to a day")
    for field in ("position_ms", "rebuffer_count", "dropped_frames", "bandwidth_bps"):
        if not 0 <= (getattr(beat, field) or 0) <= _BPS_LIMIT:
            yield Fault(field, "this is below 0, or absurdly large")
    for field in ("rendition", "edge_id", "error_code"):
        if len(getattr(beat, field) or "") > _WORD_LIMIT:
            yield Fault(field, f"this is longer than {_WORD_LIMIT} letters")
