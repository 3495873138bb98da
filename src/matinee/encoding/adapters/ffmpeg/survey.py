"""The survey of a picture: every frame is decoded once, and what changes between frames is kept."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from matinee.encoding.adapters.ffmpeg.reading import compute_display_size
from matinee.encoding.model.source import Stretch

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
# Clocks that restart (MPEG-TS §2.4.2.2 allows it at a discontinuity): a step back, or one this far ahead.
_STEP_BACK_S = 0.1
_STEP_AHEAD_S = 10.0


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

    def find_stretches(self, times_s: Sequence[float], start_s: float, rotated: bool) -> tuple[Stretch, ...]:
        """Return the parts of a picture that changes, where times begin with the container's start; else nothing."""
        if len(self.formats) < 2:
            return ()
        shown = [_compute_shown_size(found, rotated) for _, found in self.formats]
        starts_us = [round((times_s[min(n, len(times_s) - 1)] - start_s) * 1_000_000) for n, _ in self.formats]
        stretches = zip(starts_us, shown, strict=True)
        return tuple(Stretch(start_us=start, width_px=size[0], height_px=size[1]) for start, size in stretches)


def _compute_shown_size(found: FrameFormat, rotated: bool) -> tuple[int, int]:
    width, height = compute_display_size(found.width, found.height, found.shape)
    return (height, width) if rotated else (width, height)


def unwrap(times_s: Sequence[float]) -> list[float]:
    """Return times in the order of the file on one clock: where it restarts, they continue after the last one."""
    joined: list[float] = []
    offset, gap = 0.0, 0.04
    for at, time in enumerate(times_s):
        if at:
            step = time - times_s[at - 1]
            if step < -_STEP_BACK_S or step > _STEP_AHEAD_S:
                offset += gap - step
            elif step > 0:
                gap = step
        joined.append(time + offset)
    return joined


def count_places(times_s: Sequence[float], rate: Fraction) -> int:
    """Count the frames that a picture with frames at these times has at a constant rate.

    The last frame is shown as long as the one before it, at most a second.
    """
    if len(times_s) < 2:
        return len(times_s)
    last_s = min(times_s[-1] - times_s[-2], 1.0)
    return round((times_s[-1] - times_s[0]) * float(rate)) + max(1, round(last_s * float(rate)))
