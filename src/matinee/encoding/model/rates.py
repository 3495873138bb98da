"""The choice of one constant frame rate for all renditions of a picture."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

STANDARD_RATES = tuple(
    Fraction(rate)
    for rate in ("10", "12", "25/2", "15", "24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60")
)
HIGHEST_RATE = 60
# A rate up to 2 % above the highest is lowered to it: less than one frame in fifty is lost, none is halved.
_NEARLY = Fraction(1, 50)
_ROUNDING = Fraction(1, 2000)
# Share of the frames that may fall together with another one: jitter of clocks, not a faster part of the film.
_LOST = Fraction(1, 100)
# Share of the gaps at which parts may be joined, and the phases that are tried for them.
_JOINTS = Fraction(3, 100)
_PHASES = (0.0, 0.25, -0.25)
# How much lower than the rate of all parts one may be that only happens to have a place for each frame.
_CLOSE = Fraction(5, 4)
# What containers round times to.
_MILLISECOND = 0.0015


class FrameRate(NamedTuple):
    """The output rate of frames, whether they have it already, and otherwise how they are placed.

    A frame of time `t` after the first has the place `t * rate + phase`, rounded.
    """

    rate: Fraction
    constant: bool
    phase: float = 0.0


def choose_rate(times_s: Sequence[float], nominal: Sequence[Fraction]) -> FrameRate:
    """Choose the output rate for frames at these times.

    `nominal` are the rates that the container states, the most reliable first. A rate is kept when no frame is
    more than four tenths of a frame from its place. Otherwise it is the lowest rate, stated or standard, at which
    every frame has a place of its own. A rate above 60 is divided.
    """
    stated = [candidate for rate in nominal for candidate in (_undo_rounding(rate), rate)]
    average = _compute_average_rate(times_s)
    for rate in [*stated, *([_find_closest_standard(average)] if average else [])]:
        if _fits(times_s, rate):
            return FrameRate(_lower(rate), rate <= HIGHEST_RATE)
    if average is None:
        return FrameRate(_lower(stated[0]) if stated else Fraction(25), False)
    on_grid = {rate: 0.0 for rate in stated if _fits(times_s, rate, gaps=True)}
    keeping = {rate: phase for rate in STANDARD_RATES if (phase := _find_phase(times_s, rate)) is not None}
    lowest = min([*on_grid, *keeping], default=_estimate_rate(times_s))
    # A stated rate that is nearly the same is the true one: 30 rather than 30000/1001. So is the rate of all parts.
    steady = [rate for rate in keeping if lowest <= rate <= lowest * _CLOSE and _is_steady(times_s, rate)]
    nearly = [rate for rate in on_grid if lowest <= rate <= lowest * (1 + _NEARLY)]
    chosen = next(iter([*nearly, *steady]), lowest)
    return FrameRate(_lower(chosen), False, (keeping | on_grid).get(chosen, 0.0) if chosen <= HIGHEST_RATE else 0.0)


def _undo_rounding(rate: Fraction) -> Fraction:
    """Return the standard rate that a container rounded: 30000/1001 for 989/33."""
    standard = _find_closest_standard(rate)
    return standard if abs(standard - rate) < standard * _ROUNDING else rate


def _lower(rate: Fraction) -> Fraction:
    """Divide a rate above the highest one; one that is nearly a multiple of it becomes the highest."""
    parts = -(-rate // (HIGHEST_RATE * (1 + _NEARLY)))
    return min(rate / max(1, parts), Fraction(HIGHEST_RATE))


def _compute_average_rate(times_s: Sequence[float]) -> Fraction | None:
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return None
    return Fraction(len(times_s) - 1) / Fraction(times_s[-1] - times_s[0]).limit_denominator(1_000_000)


def _estimate_rate(times_s: Sequence[float]) -> Fraction:
    """Return the standard rate closest to the fastest tenth of the film: what smooth movement needs."""
    gaps = sorted(after - before for before, after in pairwise(times_s) if after > before)
    return _find_closest_standard(1 / Fraction(gaps[len(gaps) // 10]).limit_denominator(1_000_000))


def _find_closest_standard(rate: Fraction) -> Fraction:
    at = bisect_left(STANDARD_RATES, rate)
    return min(STANDARD_RATES[max(0, at - 1) : at + 1], key=lambda standard: abs(standard - rate))


def _fits(times_s: Sequence[float], rate: Fraction, *, gaps: bool = False) -> bool:
    """Return whether each frame is near its place; with `gaps`, places may be empty."""
    if not times_s:
        return False
    frame_s, first, place = float(1 / rate), times_s[0], -1
    for time in times_s:
        place = max(place + 1, round((time - first) / frame_s)) if gaps else place + 1
        if abs(time - first - place * frame_s) >= 0.4 * frame_s:
            return False
    return True


def _find_phase(times_s: Sequence[float], rate: Fraction) -> float | None:
    """Find the phase at which nearly every frame has a place of its own at a rate; None where there is none.

    Where recordings of one rate are joined, the frames of each part have a phase of their own, and at each joint one
    may be lost.
    """
    is_steady = _is_steady(times_s, rate)
    most_lost = max(float(len(times_s) * _LOST), _count_joints(times_s, rate) if is_steady else 0)
    for phase in _PHASES if is_steady else _PHASES[:1]:
        places = {round((time - times_s[0]) * float(rate) + phase) for time in times_s}
        if len(places) >= len(times_s) - most_lost:
            return phase
    return None


def _is_steady(times_s: Sequence[float], rate: Fraction) -> bool:
    """Return whether frames have a rate but for a few joints."""
    return _count_joints(times_s, rate) <= len(times_s) * _JOINTS


def _count_joints(times_s: Sequence[float], rate: Fraction) -> int:
    """Count the gaps between frames that are no whole number of frames."""
    gaps = ((after - before) * float(rate) for before, after in pairwise(times_s))
    margin = _MILLISECOND * float(rate)
    return sum(gap < 0.5 or abs(gap - round(gap)) > margin for gap in gaps)
