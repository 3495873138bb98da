"""Selection of a film's artwork frame, and the layout of its thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matinee.catalogue.api import Thumbnails

COLUMNS = ROWS = 5
WIDTH_PX = 256
CANDIDATES = 24


class FrameStats(msgspec.Struct, frozen=True):
    """Measurements of a keyframe, each from 0 to 1: mean luminance, its spread, edges, colour."""

    keyframe: int
    light: float
    contrast: float
    sharpness: float
    colour: float


def plan_thumbnails(duration_ms: int, width_px: int, height_px: int) -> Thumbnails:
    """Lay out the sheets of a film: a picture every 2 s up to ten minutes, every 5 s up to an hour, then every 10 s."""
    interval_ms = 2000 if duration_ms <= 600_000 else 5000 if duration_ms <= 3_600_000 else 10_000
    count = max(1, -(-duration_ms // interval_ms))
    return Thumbnails(
        media="thumbnails/$Number$.jpg",
        columns=COLUMNS,
        rows=ROWS,
        width_px=WIDTH_PX,
        height_px=max(2, round(WIDTH_PX * height_px / width_px / 2) * 2),
        interval_ms=interval_ms,
        sheets=-(-count // (COLUMNS * ROWS)),
    )


def list_candidates(keyframes: int) -> list[int]:
    """List keyframes to choose artwork from: spread over the film without its opening and closing titles."""
    first, last = keyframes * 6 // 100, max(0, keyframes * 88 // 100 - 1)
    return sorted({first + (last - first) * n // (CANDIDATES - 1) for n in range(CANDIDATES)})


def choose_frame(frames: Sequence[FrameStats]) -> FrameStats:
    """Choose the frame for a film's artwork: sharp, rich, neither dark nor overexposed; of equals the earliest."""
    return max(frames, key=_score_frame)


def _score_frame(frame: FrameStats) -> float:
    exposure = max(0.0, 1 - abs(frame.light - 0.45) / 0.45) * (0.1 if frame.light < 0.08 else 1)
    return (0.2 + exposure) * (0.1 + frame.sharpness) * (0.3 + frame.contrast) * (0.5 + frame.colour)
