"""The survey of a picture: every frame is decoded once, and what changes between frames is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import cast

import msgspec

from matinee.encoding.adapters.ffmpeg.joints import STEP_AHEAD_S, STEP_BACK_S
from matinee.encoding.adapters.ffmpeg.reading import compute_display_size
from matinee.encoding.model.source import Fields, Stretch

_ENTRIES = (
    "frame=pts_time,best_effort_timestamp_time,width,height,pix_fmt,sample_aspect_ratio,interlaced_frame,"
    "color_space,color_range:frame_side_data=side_data_type"
)
# Without frames' contents: their times, sizes, formats and flags.
SHOW = (
    "-show_frames",
    "-show_entries",
    _ENTRIES,
)
_CAPTIONS = "closed captions"
# How decoders log a frame of which parts cannot be decoded.
_DAMAGED = re.compile(
    r"damaged|error while decoding|corrupt|invalid mb|concealing|overread|outside the valid range|could not find ref"
    r"|not all references are available|error at mb|slice crc mismatch|slice mismatch|skipped mb|mvs not available"
    r"|first frame is no keyframe",
    re.IGNORECASE,
)
# The sizes that interlaced pictures have; others are not examined.
INTERLACED_LINES = frozenset({480, 486, 512, 576, 608, 1080, 1088})
_FIELDS = re.compile(r"(TFF|BFF|Progressive|Undetermined):\s*(\d+)")
_INTERLACED, _CONTRADICTING = 0.7, 0.05
_OUT_OF_ORDER_S = 1.0
# A picture that stands still for longer, among so few gaps, has a hole.
_HOLE_S, _FEW = 0.5, 0.002
# Frames before the first keyframe of a broadcast that are not worth a word.
_LOST_START_S = 0.25
# The longest time that the last frame of a picture is shown for itself.
LONGEST_LAST_S = 1


class FrameFormat(msgspec.Struct, frozen=True):
    """What must not change between frames that the same filters read."""

    width: int
    height: int
    shape: str
    pixel_format: str
    matrix: str
    range: str


class Survey:
    """Collects ffprobe's lines about frames."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.interlaced = 0
        self.captioned = 0
        self.formats: list[tuple[int, FrameFormat]] = []
        self._parts: list[int] = []

    def add(self, line: str) -> None:
        """Add a line of ffprobe's compact output."""
        fields = dict(part.partition("=")[::2] for part in line.split("|"))
        if "width" not in fields:
            return
        time = fields.get("pts_time", "N/A")
        if time == "N/A":
            time = fields.get("best_effort_timestamp_time", "N/A")
        found = FrameFormat(
            int(fields["width"]),
            int(fields.get("height", 0)),
            fields.get("sample_aspect_ratio", "N/A"),
            fields.get("pix_fmt", "unknown"),
            fields.get("color_space", "unknown"),
            fields.get("color_range", "unknown"),
        )
        if not self.formats or self.formats[-1][1] != found:
            self.formats.append((len(self.times_s), found))
        self.interlaced += fields.get("interlaced_frame") == "1"
        self.captioned += _CAPTIONS in line.lower()
        last = self.times_s[-1] if self.times_s else 0.0
        self.times_s.append(last if time == "N/A" else float(time))

    def begin_part(self) -> None:
        """Begin a recording that is joined to those before it."""
        self._parts.append(len(self.times_s))

    def order_times(self, *, restarts: bool) -> list[float]:
        """Return the times on one clock; where a picture is damaged, decoders return frames far out of order."""
        edges = [*self._parts, len(self.times_s)]
        if len(edges) > 2:
            return unwrap([time for first, end in pairwise(edges) for time in sorted(self.times_s[first:end])])
        return sorted(unwrap(self.times_s, _OUT_OF_ORDER_S) if restarts else self.times_s)

    def find_stretches(self, times_s: Sequence[float], start_s: float, rotated: bool) -> tuple[Stretch, ...]:
        """Return the parts of a picture that changes, where times begin with the container's start; else nothing."""
        if len(self.formats) < 2:
            return ()
        shown = [_compute_shown_size(found, rotated) for _, found in self.formats]
        starts_us = [round((times_s[min(n, len(times_s) - 1)] - start_s) * 1_000_000) for n, _ in self.formats]
        stretches = zip(starts_us, shown, strict=True)
        return tuple(Stretch(start_us=start, width_px=size[0], height_px=size[1]) for start, size in stretches)


def list_faults(lost: int, packets: int, log: Sequence[str]) -> list[str]:
    """List what is damaged in a picture of which so many packets are lost, given the decoder's log."""
    if lost:
        return [f"the picture is damaged: {lost} of {packets} frames cannot be decoded"]
    return ["the picture is damaged in places"] if any(_DAMAGED.search(line) for line in log) else []


def read_fields(log: Sequence[str]) -> dict[str, int]:
    """Read from the log of FFmpeg's `idet` how many frames have lines of two times: `TFF`, `BFF`, `Progressive`…"""
    lines = [line for line in log if "Multi frame detection:" in line]
    return {name: int(count) for name, count in _FIELDS.findall(lines[-1])} if lines else {}


def choose_fields(counts: Mapping[str, int]) -> Fields:
    """Choose the order of fields that most frames have and hardly any contradicts; none where there is no such."""
    most = sum(counts.values()) * _INTERLACED
    for fields, name, other in (("tff", "TFF", "BFF"), ("bff", "BFF", "TFF")):
        if counts.get(name, 0) > most and counts.get(other, 0) <= counts[name] * _CONTRADICTING:
            return cast("Fields", fields)
    return ""


def _compute_shown_size(found: FrameFormat, rotated: bool) -> tuple[int, int]:
    width, height = compute_display_size(found.width, found.height, found.shape)
    return (height, width) if rotated else (width, height)


def unwrap(times_s: Sequence[float], step_back_s: float = STEP_BACK_S) -> list[float]:
    """Return times in the order of the file on one clock: where it restarts, they continue after the last one."""
    joined: list[float] = []
    offset, gap = 0.0, 0.04
    for at, time in enumerate(times_s):
        if at:
            step = time - times_s[at - 1]
            if step < -step_back_s or step > STEP_AHEAD_S:
                offset += gap - step
            elif step > 0:
                gap = step
        joined.append(time + offset)
    return joined


def undelay(times_s: Sequence[float], start_s: float) -> tuple[list[float], float]:
    """Return when the frames of a file without times of presentation are shown, and how much later a decoder says.

    It holds back some frames to put them in order, and has no times for as many at the end.
    """
    timed = [time for n, time in enumerate(times_s) if not n or time > times_s[n - 1]]
    gap_s = median(after - before for before, after in pairwise(timed)) if len(timed) > 1 else 0.0
    rest = [timed[-1] + gap_s * n for n in range(1, len(times_s) - len(timed) + 1)]
    delay_s = max(0.0, timed[0] - start_s)
    return [time - delay_s for time in (*timed, *rest)], delay_s


def list_holes(times_s: Sequence[float], rate: Fraction) -> list[str]:
    """List where a picture of one rate stands still for long."""
    gaps = [after - before for before, after in pairwise(times_s)]
    holes = [gap for gap in gaps if gap > max(_HOLE_S, 5 / float(rate))]
    if not holes or len(holes) > max(1, len(gaps) * _FEW) or abs(median(gaps) * float(rate) - 1) > 0.1:
        return []
    at_s = times_s[gaps.index(max(gaps))] - times_s[0]
    return [f"the picture stands still for {max(gaps):.1f} seconds at {at_s:.0f} s: a part may be missing"]


def list_lost_start(lost_s: float) -> list[str]:
    """List what is lost before the first frame that can be decoded."""
    if lost_s <= _LOST_START_S:
        return []
    return [f"the first {lost_s:.1f} seconds of the picture cannot be decoded: they are left out"]


def count_places(times_s: Sequence[float], rate: Fraction, phase: float, last_s: float) -> int:
    """Count the frames that a picture with frames at these times has at a constant rate (see `FrameRate`).

    The last frame is shown for `last_s`; where that is 0 because nothing states it, as long as the one before it.
    """
    if len(times_s) < 2:
        return len(times_s)
    last_s = min(last_s or times_s[-1] - times_s[-2], LONGEST_LAST_S)
    return round((times_s[-1] - times_s[0]) * float(rate) + phase) + max(1, round(last_s * float(rate)))
