"""The ladder: which renditions a picture gets. One fixed H.264 ladder; per-title ladders and codecs join here."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import msgspec

from matinee.licensing.api import Label


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A rendition to be made: constant quality `crf`, capped at `max_bps` over a buffer of `buffer_bits`."""

    name: str
    codec: Literal["h264"]
    width_px: int
    height_px: int
    crf: int
    max_bps: int
    buffer_bits: int
    preset: str

    @property
    def label(self) -> Label:
        """Whose content key it is under: by lines, as a licence withholds them."""
        return "SD" if self.height_px <= 576 else "HD" if self.height_px <= 1080 else "UHD"


# Lines of a 16:9 picture → highest bit rate at up to 30 frames a second.
CAPS_BPS = {
    240: 400_000,
    360: 900_000,
    480: 1_600_000,
    720: 3_200_000,
    1080: 6_000_000,
    1440: 10_000_000,
    2160: 18_000_000,
}
CRF = 23
# A source this close above a standard size makes no rung of its own; the standard one is the same to the eye.
_SAME = 1.06


def ladder(width_px: int, height_px: int, rate: Fraction, *, preset: str, max_lines: int = 1080) -> tuple[Rung, ...]:
    """The rungs of a picture of this size (square pixels) and rate, smallest first, none above its own size."""
    own = min(lines(width_px, height_px), max_lines)
    below = [standard for standard in CAPS_BPS if standard * _SAME < own]
    return tuple(_rung(width_px, height_px, size, rate, preset) for size in [*below, own])


def lines(width_px: int, height_px: int) -> int:
    """The size class: the lines of the smallest 16:9 (or, upright, 9:16) box around the picture."""
    long, short = max(width_px, height_px), min(width_px, height_px)
    return max(short, -(-long * 9 // 16))


def _rung(width_px: int, height_px: int, size: int, rate: Fraction, preset: str) -> Rung:
    scale = Fraction(size, lines(width_px, height_px))
    width, height = _even(width_px * scale), _even(height_px * scale)
    cap_bps = round(_cap(size) * (1.5 if rate > 32 else 1))
    return Rung(
        name=f"{_standard(size) or size}p",
        codec="h264",
        width_px=width,
        height_px=height,
        crf=CRF,
        max_bps=cap_bps,
        buffer_bits=cap_bps * 3 // 2,
        preset=preset,
    )


def _standard(size: int) -> int | None:
    """The standard size that a size is to the eye."""
    return next((standard for standard in CAPS_BPS if standard <= size <= standard * _SAME), None)


def _cap(size: int) -> float:
    """The cap of a size, in proportion to its area from the nearest standard above."""
    standard = next((s for s in CAPS_BPS if s >= size), max(CAPS_BPS))
    return float(CAPS_BPS[standard] * max(0.25, (size / standard) ** 1.5))


def _even(length: Fraction) -> int:
    return max(2, round(length / 2 - Fraction(1, 1000)) * 2)
