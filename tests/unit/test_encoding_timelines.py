"""Timelines as runs: every duration is kept, and cycles become one run."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.catalogue.api import SegmentRun
from matinee.encoding.model.timelines import to_runs


def measure_segments(samples: int, count: int) -> list[int]:
    """Return the durations of segments of whole frames of 1,024 samples that end next after multiples of a time."""
    ends = [-(-number * samples // 1024) * 1024 for number in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


@pytest.mark.parametrize("samples", [192_000, 192_192, 176_400], ids=["4 s at 48 kHz", "4.004 s", "4 s at 44.1 kHz"])
def test_sound_of_a_film_is_few_runs(samples: int) -> None:
    durations = [*measure_segments(samples, 2_700), 7_168]
    runs = to_runs(0, durations)
    assert len(runs) == 2
    assert [one for run in runs for one in run.durations] == durations


def test_segments_of_one_duration_are_one_run() -> None:
    assert to_runs(5, [96_000] * 9 + [1]) == [SegmentRun(5, 96_000, 9), SegmentRun(864_005, 1)]


def test_cycle_has_a_run() -> None:
    assert to_runs(0, [3, 2, 3, 2, 3]) == [SegmentRun(0, 3, 5, (2,))]
    assert to_runs(0, []) == []


@given(st.lists(st.integers(1, 3), max_size=60))
def test_no_duration_is_lost(durations: list[int]) -> None:
    runs = to_runs(7, durations)
    assert [one for run in runs for one in run.durations] == durations
    at = 7
    for run in runs:
        assert run.start == at
        at += sum(run.durations)
