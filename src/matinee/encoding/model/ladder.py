"""The ladder: the renditions that a picture gets."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from matinee.encoding.model.codecs import CODECS, H264, VideoCodec
from matinee.kit.hashing import sha256_hex
from matinee.licensing.api import Label, choose_key_label


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A rendition to encode: constant quality `crf`, capped at `max_bps` over a buffer of `buffer_bits`."""

    name: str
    codec: str
    width_px: int
    height_px: int
    crf: int
    max_bps: int
    buffer_bits: int
    preset: str

    @property
    def track_id(self) -> str:
        """The id of the rendition within its asset."""
        return f"{CODECS[self.codec].track_prefix}-{self.name}"

    @property
    def folder(self) -> str:
        """The folder of the rendition below its asset; other parameters give another folder."""
        return f"{self.track_id}-{sha256_hex(msgspec.json.encode(self))[:8]}"

    @property
    def key_label(self) -> Label:
        """The content key that encrypts the rendition."""
        return choose_key_label(self.height_px)


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
# A source up to 6 % above a standard size gets no rung of its own: the difference is not visible.
_SAME_SIZE = 1.06


def build_ladder(
    width_px: int,
    height_px: int,
    rate: Fraction,
    *,
    preset: str,
    max_lines: int = 1080,
    codec: VideoCodec = H264,
) -> tuple[Rung, ...]:
    """Build the rungs for a picture of this size (square pixels) and rate, smallest first, none above its own size."""
    own = min(count_lines(width_px, height_px), max_lines)
    below = [standard for standard in CAPS_BPS if standard * _SAME_SIZE < own]
    return tuple(_build_rung(width_px, height_px, size, rate, preset, codec) for size in [*below, own])


def count_lines(width_px: int, height_px: int) -> int:
    """Return the size class: the lines of the smallest 16:9 (or, upright, 9:16) box around the picture."""
    long, short = max(width_px, height_px), min(width_px, height_px)
    return max(short, -(-long * 9 // 16))


def _build_rung(width_px: int, height_px: int, size: int, rate: Fraction, preset: str, codec: VideoCodec) -> Rung:
    scale = Fraction(size, count_lines(width_px, height_px))
    cap_bps = round(_compute_cap(size) * (1.5 if rate > 32 else 1))
    return Rung(
        name=f"{_find_standard(size) or size}p",
        codec=codec.name,
        width_px=_round_to_even(width_px * scale),
        height_px=_round_to_even(height_px * scale),
        crf=CRF,
        max_bps=cap_bps,
        buffer_bits=cap_bps * 3 // 2,
        preset=preset,
    )


def _find_standard(size: int) -> int | None:
    """Find the standard size that a size is indistinguishable from."""
    return next((standard for standard in CAPS_BPS if standard <= size <= standard * _SAME_SIZE), None)


def _compute_cap(size: int) -> float:
    """Compute the cap of a size, in proportion to its area, from the nearest standard above."""
    standard = next((s for s in CAPS_BPS if s >= size), max(CAPS_BPS))
    return float(CAPS_BPS[standard] * max(0.25, (size / standard) ** 1.5))


def _round_to_even(length: Fraction) -> int:
    return max(2, round(length / 2 - Fraction(1, 1000)) * 2)
