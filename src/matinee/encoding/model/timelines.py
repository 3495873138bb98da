"""Timelines of segments as runs, each of one duration or of a cycle of durations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile

from matinee.catalogue.api import SegmentRun

# At 44.1 kHz the durations of segments of four seconds repeat after 64 segments.
MAX_CYCLE = 128


def to_runs(start: int, durations: Sequence[int]) -> list[SegmentRun]:
    """Return the fewest runs that are found in one pass, for segments that follow each other without gaps."""
    runs: list[SegmentRun] = []
    at = 0
    while at < len(durations):
        length, period = max((_measure_cycle(durations, at, period), -period) for period in range(1, MAX_CYCLE + 1))
        cycle = durations[at : at - period]
        runs.append(SegmentRun(start, cycle[0], length, tuple(cycle[1:])))
        start += sum(durations[at : at + length])
        at += length
    return runs


def _measure_cycle(durations: Sequence[int], at: int, period: int) -> int:
    """Return how many segments repeat a cycle of some length; 1 unless they repeat it once in whole."""
    repeated = sum(
        1
        for _ in takewhile(
            lambda place: place < len(durations) and durations[place] == durations[place - period], count(at + period)
        )
    )
    return period + repeated if repeated >= period or period == 1 else 1
