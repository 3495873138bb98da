"""A master as probed, and how its picture is read frame by frame at one constant rate."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from matinee.encoding.api import Report

Role: TypeAlias = Literal["main", "commentary", "description"]
Deinterlacing: TypeAlias = Literal["none", "flagged", "all"]
Fields: TypeAlias = Literal["", "tff", "bff"]
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
# Primaries whose colours are visibly wrong when they are shown as BT.709's.
WIDE_PRIMARIES = frozenset({"bt2020", "smpte431", "smpte432"})
_ALPHA_FORMATS = ("rgba", "bgra", "argb", "abgr", "gbrap", "yuva", "ya8", "ya16", "rgba64", "bgra64", "pal8")


class Span(NamedTuple):
    """A part of a file, in bytes."""

    start: int
    end: int


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a picture that changes its size or format: how large it is shown, from `start_us` on."""

    start_us: int
    width_px: int
    height_px: int


class ChapterMark(msgspec.Struct, frozen=True, kw_only=True):
    """The start of a chapter after the start of the container."""

    start_us: int
    title: str = ""


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """A still picture beside the film, by its number in the original file."""

    index: int
    is_upright: bool


class MediaSource(msgspec.Struct, frozen=True, kw_only=True):
    """A probed master: its report, and what the encoder needs beyond it.

    `rate` is the constant rate of all renditions, a fraction; `constant` is whether the master's own frames have it;
    `shift_us` is how much later than a decoder says frames are placed. `start_us` is the start of the picture after the
    start of the container, which may be `late_us` later than FFmpeg says, `last_us` the time of the last frame on the
    file's own clock, `sound_end_us` the end of the longest sound. `seek_lead_s` is how much earlier a chunk must begin
    to read where the container has no index of keyframes. `fields` is the order of the fields of frames that do not
    state it. `remux` are the streams to copy into a container with an index and one clock before anything is read, if
    any; the report's indexes are then those of the copy once it is made. `raw` is a stream without a container, whose
    frames get their times when they are decoded. `parts` are the recordings that are joined in the file, where there
    are several that can be read one by one; `clock_step_s` is the smallest step by which the clock goes back, 0 where
    it never does. `damaged_delays_us` are what the frames whose time is damaged would be shown later than they are
    decoded. `notes` say what is left out.
    """

    report: Report
    rate: str
    constant: bool
    shift_us: int = 0
    start_us: int = 0
    late_us: int = 0
    last_us: int = 0
    sound_end_us: int = 0
    picture_frames: int = 0
    seek_lead_s: int = 0
    matrix: str = "unknown"
    primaries: str = "unknown"
    peak_nits: int = 0
    deinterlacing: Deinterlacing = "none"
    fields: Fields = ""
    autorotate: bool = True
    decoder: str = ""
    captions: bool = False
    cover: Cover | None = None
    stretches: tuple[Stretch, ...] = ()
    chapters: tuple[ChapterMark, ...] = ()
    remux: tuple[int, ...] = ()
    raw: bool = False
    parts: tuple[Span, ...] = ()
    clock_step_s: float = 0.0
    damaged_delays_us: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def renumber(self) -> MediaSource:
        """Return the source with the numbers that its streams have in the copy."""
        place = {index: number for number, index in enumerate(self.remux)}
        report = replace(
            self.report,
            video=replace(self.report.video, index=place[self.report.video.index]),
            audio=[replace(stream, index=place[stream.index]) for stream in self.report.audio],
            subtitles=[replace(s, index=place[s.index]) for s in self.report.subtitles if s.index in place],
        )
        return replace(self, report=report, seek_lead_s=0)

    @property
    def frame_rate(self) -> Fraction:
        """The constant rate, in frames a second."""
        return Fraction(self.rate)

    @property
    def hdr(self) -> bool:
        """Whether the picture must be converted to standard range."""
        return self.report.video.colour_transfer in HDR_TRANSFERS

    @property
    def wide_gamut(self) -> bool:
        """Whether the primaries of a picture in standard range must be converted."""
        return not self.hdr and self.primaries in WIDE_PRIMARIES

    @property
    def transparent(self) -> bool:
        """Whether the picture has an alpha channel."""
        return bool(self.decoder) or self.report.video.pixel_format.startswith(_ALPHA_FORMATS)
