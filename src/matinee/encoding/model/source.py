"""A master as probed, and how its picture is read frame by frame at one constant rate."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from matinee.encoding.api import Report

Role: TypeAlias = Literal["main", "commentary", "description"]
STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in ("10", "12", "25/2", "15", "24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
HIGHEST_RATE = 60
_NEARLY = Fraction(1, 50)
_ROUNDING = Fraction(1, 2000)
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})


class MediaSource(msgspec.Struct, frozen=True, kw_only=True):
    """A probed master: its report, and what the encoder needs beyond it.

    `rate` is the constant rate of all renditions, a fraction; `constant` is whether the master's own frames have it.
    `start_us` is the start of the picture after the start of the container. `seek_lead_s` is how much earlier a
    chunk must begin to read where the container has no index of keyframes.
    """

    report: Report
    rate: str
    constant: bool
    start_us: int = 0
    seek_lead_s: int = 0
    matrix: str = "unknown"
    roles: dict[int, Role] = {}

    @property
    def frame_rate(self) -> Fraction:
        """The constant rate, in frames a second."""
        return Fraction(self.rate)

    @property
    def hdr(self) -> bool:
        """Whether the picture must be converted to standard range."""
        return self.report.video.colour_transfer in HDR_TRANSFERS


def choose_rate(times_s: Sequence[float], nominal: Sequence[Fraction]) -> tuple[Fraction, bool]:
    """Choose the output rate for frames at these times, and return whether they have it already.

    `nominal` are the rates that the container states, the most reliable first. A rate is kept when no frame is
    more than four tenths of a frame from its place, or when the average matches and only some frames are missing;
    a rate above 60 is divided. Otherwise it is the standard rate closest to the fastest quarter of the film.
    """
    average, fastest = _compute_average_rate(times_s), _compute_fastest_rate(times_s)
    stated = [candidate for rate in nominal for candidate in (_undo_rounding(rate), rate)]
    for rate in [*stated, *([_find_closest_standard(average)] if average else [])]:
        if _fits(times_s, rate):
            return _divide_to_highest(rate), rate <= HIGHEST_RATE
    for rate in stated:
        if average is None or abs(average - rate) < rate * _NEARLY:
            return _divide_to_highest(rate), False
    return _find_closest_standard(fastest or Fraction(25)), False


def _undo_rounding(rate: Fraction) -> Fraction:
    """Return the standard rate that a container rounded: 30000/1001 for 989/33."""
    standard = _find_closest_standard(rate)
    return standard if abs(standard - rate) < standard * _ROUNDING else rate


def _divide_to_highest(rate: Fraction) -> Fraction:
    return rate / -(-rate // HIGHEST_RATE)


def _compute_average_rate(times_s: Sequence[float]) -> Fraction | None:
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return None
    return Fraction(len(times_s) - 1) / Fraction(times_s[-1] - times_s[0]).limit_denominator(1_000_000)


def _compute_fastest_rate(times_s: Sequence[float]) -> Fraction | None:
    """Compute the rate of the fastest quarter: what a film needs for smooth movement."""
    gaps = sorted(after - before for before, after in pairwise(times_s) if after > before)
    return 1 / Fraction(gaps[len(gaps) // 4]).limit_denominator(1_000_000) if gaps else None


def _find_closest_standard(rate: Fraction) -> Fraction:
    at = bisect_left(STANDARD_RATES, rate)
    return min(STANDARD_RATES[max(0, at - 1) : at + 1], key=lambda standard: abs(standard - rate))


def _fits(times_s: Sequence[float], rate: Fraction) -> bool:
    if not times_s:
        return False
    frame_s, first = float(1 / rate), times_s[0]
    return all(abs(time - first - n * frame_s) < 0.4 * frame_s for n, time in enumerate(times_s))
