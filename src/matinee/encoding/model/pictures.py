"""Which frame stands for a film, and where thumbnails are taken."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matinee.catalogue.api import Thumbnails

COLUMNS = ROWS = 5
WIDTH_PX = 256
CANDIDATES = 24


class Look(msgspec.Struct, frozen=True):
    """How a keyframe looks, each from 0 to 1: mean light, spread of light, edges, colour."""

    keyframe: int
    light: float
    contrast: float
    sharpness: float
    colour: float


def thumbnails(duration_ms: int, width_px: int, height_px: int) -> Thumbnails:
    """The sheets of a film: a picture every 2 s up to ten minutes, every 5 s up to an hour, then every 10 s."""
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


def candidates(keyframes: int) -> list[int]:
    """Which keyframes to look at for a still: spread over the film without its opening and its end titles."""
    first, last = keyframes * 6 // 100, max(0, keyframes * 88 // 100 - 1)
    return sorted({first + (last - first) * n // (CANDIDATES - 1) for n in range(CANDIDATES)})


def best(looks: Sequence[Look]) -> Look:
    """The frame to stand for the film: sharp, rich, neither dark nor glaring; of equals the earliest."""
    return max(looks, key=_worth)


def _worth(look: Look) -> float:
    exposed = max(0.0, 1 - abs(look.light - 0.45) / 0.45) * (0.1 if look.light < 0.08 else 1)
    return (0.2 + exposed) * (0.1 + look.sharpness) * (0.3 + look.contrast) * (0.5 + look.colour)
