"""A master as it was probed, and how its picture is read frame by frame at one constant rate."""

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
    """What the steps know of a master beyond its report.

    `rate` is the constant rate of everything made of it, a fraction; `constant` says that its own frames keep
    it. `start_us` is where the picture begins after the start of the container. `seek_lead_s` is how much
    earlier a cut must begin to read where the container has no index to find a keyframe by.
    """

    report: Report
    rate: str
    constant: bool
    start_us: int = 0
    seek_lead_s: int = 0
    matrix: str = "unknown"
    full_range: bool = False
    roles: dict[int, Role] = {}

    @property
    def frame_rate(self) -> Fraction:
        """The constant rate, in frames a second."""
        return Fraction(self.rate)

    @property
    def hdr(self) -> bool:
        """Whether the picture must be brought into standard range."""
        return self.report.video.colour_transfer in HDR_TRANSFERS


def choose_rate(times_s: Sequence[float], nominal: Sequence[Fraction]) -> tuple[Fraction, bool]:
    """The output rate of frames at these times, and whether they keep it already.

    `nominal` are the rates that the container claims, the likeliest first. A rate is kept when no frame is
    more than four tenths of a frame from its place, or when all in all they keep it and only some are missing;
    one above 60 is divided. Otherwise it is the standard rate closest to where the film is quick.
    """
    average, quick = average_rate(times_s), quick_rate(times_s)
    claimed = [one for rate in nominal for one in (_spelled_out(rate), rate)]
    for rate in [*claimed, *([closest_standard(average)] if average else [])]:
        if _keeps(times_s, rate):
            return _at_most_highest(rate), rate <= HIGHEST_RATE
    for rate in claimed:
        if average is None or abs(average - rate) < rate * _NEARLY:
            return _at_most_highest(rate), False
    return closest_standard(quick or Fraction(25)), False


def _spelled_out(rate: Fraction) -> Fraction:
    """The standard rate that this is, rounded: 989/33 for 30000/1001."""
    standard = closest_standard(rate)
    return standard if abs(standard - rate) < standard * _ROUNDING else rate


def _at_most_highest(rate: Fraction) -> Fraction:
    return rate / -(-rate // HIGHEST_RATE)


def average_rate(times_s: Sequence[float]) -> Fraction | None:
    """Frames a second over all of these times; None where they do not tell."""
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return None
    return Fraction(len(times_s) - 1) / Fraction(times_s[-1] - times_s[0]).limit_denominator(1_000_000)


def quick_rate(times_s: Sequence[float]) -> Fraction | None:
    """Frames a second in the quickest quarter: what a film needs so that its movement stays smooth."""
    gaps = sorted(after - before for before, after in pairwise(times_s) if after > before)
    return 1 / Fraction(gaps[len(gaps) // 4]).limit_denominator(1_000_000) if gaps else None


def closest_standard(rate: Fraction) -> Fraction:
    """The standard frame rate nearest to this one."""
    at = bisect_left(STANDARD_RATES, rate)
    return min(STANDARD_RATES[max(0, at - 1) : at + 1], key=lambda standard: abs(standard - rate))


def _keeps(times_s: Sequence[float], rate: Fraction) -> bool:
    if not times_s:
        return False
    frame_s, first = float(1 / rate), times_s[0]
    return all(abs(time - first - n * frame_s) < 0.4 * frame_s for n, time in enumerate(times_s))
