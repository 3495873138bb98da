"""Conversion of ffprobe's output to a source."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from matinee.encoding.adapters.ffmpeg import streams
from matinee.encoding.adapters.ffmpeg.joints import STEP_BACK_S
from matinee.encoding.api import Report, VideoStream
from matinee.encoding.model.rates import choose_rate
from matinee.encoding.model.renditions import TEXT_CODECS
from matinee.encoding.model.source import Deinterlacing, MediaSource

# Containers with an index of keyframes, by which FFmpeg finds the keyframe before any time.
_INDEXED = ("mov,mp4", "matroska,webm")
# Containers whose clock may restart, whose zero depends on the streams that are read, or without an index.
_REMUXED = frozenset({"mpegts", "mpeg", "ogg", "flv"})
# Of these, those whose clock may restart where recordings are joined.
_RESTARTING = frozenset({"mpegts", "mpeg", "ogg"})
# A stream without a container has no times at all.
_RAW = frozenset(
    {"h264", "hevc", "vvc", "evc", "obu", "vc1", "h261", "h263", "mpegvideo", "m4v", "cavsvideo", "dirac", "dnxhd"}
)
UNINDEXED_LEAD_S = 15
UNREADABLE = "the file is damaged: parts of it cannot be read"

_ENTRIES = (
    "format=format_name,start_time,duration,size:stream=index,id,codec_type,codec_name,codec_tag_string,width,height,"
    "sample_aspect_ratio,pix_fmt,bits_per_raw_sample,field_order,color_space,color_transfer,color_primaries,"
    "r_frame_rate,avg_frame_rate,nb_frames,channels,sample_rate,start_time,duration:stream_tags=language,alpha_mode{titles}:"
    "stream_disposition:stream_side_data=rotation,max_content,max_luminance,crop_top,crop_bottom,crop_left,crop_right:program=program_id,program_num:"
    "program_tags=service_name:program_stream=index,codec_type:chapter=start_time{chapter_titles}"
)
SHOW = ("-show_entries", _ENTRIES.format(titles=",title,name", chapter_titles=":chapter_tags=title"))
# For files whose titles are longer than any title.
SHOW_UNTITLED = ("-show_entries", _ENTRIES.format(titles="", chapter_titles=""))
# Matrices that YUV pictures can be converted from (ITU-T H.273 §8.3); others need other pixel formats.
_MATRICES = frozenset({"bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc", "unknown", "unspecified"})
_RGB_FORMATS = ("gbr", "rgb", "bgr", "pal", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr")
_DEFAULT_PEAK_NITS = 1000
# A picture that ends this much before its stated end has lost something.
_STATING = frozenset({"mov", "avi", "mxf", "gxf", "flv"})
_LOST_S, _LOST_FROM_FILE_S, _LOST_SHARE = 0.5, 1.0, 0.02
_MISSING_SHARE = 0.005
# Sound that begins earlier than the picture by more than decoders need to start.
_EARLY_S = 0.25


class Listing(NamedTuple):
    """The listed packets of a picture: times, the steps by which the clock may restart, whether some are damaged.

    `late_us` is how much later the picture begins.
    """

    times_s: Sequence[float]
    steps_s: Sequence[float] = ()
    damaged: bool = False
    damaged_delays_us: tuple[int, ...] = ()
    late_us: int = 0

    @property
    def clock_step_s(self) -> float:
        """The smallest step back that is more than an overlap; 0 where there is none."""
        return min((-step for step in self.steps_s if step < -STEP_BACK_S), default=0.0)


def read_source(shown: dict[str, Any], stream: dict[str, Any], listing: Listing, size_bytes: int) -> MediaSource:
    """Build a source from ffprobe's output and the frames of its picture."""
    times_s = listing.times_s
    rate, constant, _ = choose_rate(times_s, list_stated_rates(stream))
    offset_s = parse_number(shown["format"].get("start_time"))
    first_s = times_s[0] if times_s else offset_s
    within, note = streams.find_programme(shown, stream["index"])
    report = _read_report(shown, stream, rate, max(1, len(times_s)), size_bytes, within)
    turn = _read_rotation(stream)
    return MediaSource(
        report=report,
        rate=f"{rate.numerator}/{rate.denominator}",
        constant=constant or not times_s,
        start_us=max(0, round((first_s - offset_s) * 1_000_000)) + listing.late_us,
        late_us=listing.late_us,
        last_us=round(times_s[-1] * 1_000_000) if times_s else 0,
        picture_frames=max(1, len(times_s)),
        seek_lead_s=0 if shown["format"].get("format_name", "").startswith(_INDEXED) else UNINDEXED_LEAD_S,
        matrix=_read_matrix(stream),
        primaries=stream.get("color_primaries", "unknown"),
        peak_nits=_read_peak(stream),
        deinterlacing=_read_deinterlacing(stream),
        autorotate=turn % 90 == 0,
        decoder=_choose_decoder(stream),
        cover=streams.find_cover(shown, stream["index"]),
        chapters=streams.read_chapters(shown, offset_s),
        remux=list_remuxed(report) if report.container in _REMUXED | _RAW else (),
        raw=report.container in _RAW,
        clock_step_s=listing.clock_step_s,
        damaged_delays_us=listing.damaged_delays_us,
        notes=tuple(
            filter(
                None,
                [
                    note,
                    _describe_loss(report, shown, stream, times_s),
                    *_list_notes(shown, stream, report, within),
                    *_list_faults(report, listing),
                ],
            )
        ),
    )


def list_kinds(shown: dict[str, Any], indexes: Sequence[int]) -> list[tuple[object, ...]]:
    """List what must be the same of streams that follow one another in one stream."""
    streams_by_index = {stream["index"]: stream for stream in shown.get("streams", [])}
    found = [streams_by_index.get(index, {}) for index in indexes]
    return [(stream.get("codec_type"), stream.get("codec_name")) for stream in found]


def list_remuxed(report: Report) -> tuple[int, ...]:
    """List the streams that are copied into a container with one clock."""
    texts = (stream.index for stream in report.subtitles if stream.codec in TEXT_CODECS)
    return (report.video.index, *(stream.index for stream in report.audio), *texts)


def has_restarts(shown: dict[str, Any]) -> bool:
    """Return whether the clock of a container may restart."""
    return shown["format"].get("format_name") in _RESTARTING


def is_damaged(shown: dict[str, Any], rows: Sequence[Sequence[str]], log: Sequence[str]) -> bool:
    """Return whether parts of a container cannot be read, given its packets and the end of ffprobe's log."""
    container = shown["format"].get("format_name", "")
    # In MP4, errors of parts that are not needed are logged too.
    logged = not container.startswith("mov") and any(line.startswith(f"[{container} @") for line in log)
    return logged or any("C" in row[3] for row in rows if len(row) > 3)


def _list_faults(report: Report, listing: Listing) -> list[str]:
    faults = [UNREADABLE] if listing.damaged or listing.damaged_delays_us else []
    if listing.clock_step_s and report.container in _REMUXED - _RESTARTING:
        faults.append("the clock of the file goes back: what follows may be lost or out of step")
    return faults


def describe_early_sound(shown: dict[str, Any], report: Report, first_s: float) -> str:
    """Describe the sound before the first picture that can be decoded."""
    kept = {sound.index for sound in report.audio}
    starts = [parse_number(s.get("start_time")) for s in shown["streams"] if s["index"] in kept and "start_time" in s]
    early_s = first_s - min(starts, default=first_s)
    if early_s <= _EARLY_S:
        return ""
    return f"the sound begins {early_s:.1f} seconds before the picture: it is left out until there"


def _describe_loss(report: Report, shown: dict[str, Any], stream: dict[str, Any], times_s: Sequence[float]) -> str:
    """Describe what is missing at the end of a picture, where the container states its length and not the file's."""
    if report.container not in _STATING or len(times_s) < 2:
        return ""
    stated_s = parse_number(stream.get("duration") or shown["format"].get("duration"))
    # The length of a file may be that of its sound.
    lost_s = _LOST_S if "duration" in stream or not report.audio else _LOST_FROM_FILE_S
    # Of a cut AVI file only the header states the frames; elsewhere an edit list may leave some out.
    if report.container == "avi" and (rate := parse_fraction(stream.get("avg_frame_rate", ""))):
        stated_s = max(stated_s, parse_number(stream.get("nb_frames")) / float(rate))
    found_s = times_s[-1] - times_s[0] + (times_s[-1] - times_s[-2])
    if stated_s - found_s <= max(lost_s, stated_s * _LOST_SHARE):
        return ""
    return f"the picture ends after {found_s:.1f} of {stated_s:.1f} seconds: the file may be cut short"


def list_missing(size_bytes: int, stated_bytes: int) -> list[str]:
    """List what is missing of a file whose header says how large it is."""
    share = (stated_bytes - size_bytes) / stated_bytes if stated_bytes else 0.0
    return [f"the file may be cut short: {share:.0%} of it are missing"] if share > _MISSING_SHARE else []


def _list_notes(
    shown: dict[str, Any], stream: dict[str, Any], report: Report, within: Collection[int] | None
) -> list[str]:
    """List what is left out or read otherwise than the file says."""
    matrix, turn = stream.get("color_space", "unknown"), _read_rotation(stream)
    known = {sound.index for sound in report.audio}
    silent = [s for s in streams.list_streams(shown, "audio", within) if s["index"] not in known]
    others = [
        s
        for s in streams.list_videos(shown)
        if s["index"] != stream["index"]
        and s.get("codec_name") not in streams.STILL_CODECS
        and (within is None or s["index"] in within)
    ]
    stills = [s for s in streams.list_videos(shown) if s.get("codec_name") in streams.STILL_CODECS]
    return [
        *(f"{streams.name_stream(s)} is left out: its format is unknown" for s in silent),
        *(f"{streams.name_stream(s)} is a still picture: it is taken for a cover" for s in stills if s is not stream),
        *(f"{streams.name_stream(s)} is left out: a title has one picture" for s in others),
        *([f"the colour matrix {matrix} does not fit the pixel format: it is ignored"] * (_is_odd_matrix(stream))),
        *([f"the file asks for a turn by {turn}°: the picture is turned by {_to_quarter(turn)}°"] * (turn % 90 != 0)),
    ]


def _read_report(
    shown: dict[str, Any],
    stream: dict[str, Any],
    rate: Fraction,
    frames: int,
    size_bytes: int,
    within: Collection[int] | None,
) -> Report:
    return Report(
        container=shown["format"].get("format_name", "").partition(",")[0],
        duration_ms=round(frames / _compute_average(shown, stream, rate, frames) * 1000),
        size_bytes=size_bytes,
        video=_read_video(stream, rate, frames),
        audio=streams.read_audio(shown, within),
        subtitles=streams.read_subtitles(shown, within),
    )


def _compute_average(shown: dict[str, Any], stream: dict[str, Any], rate: Fraction, frames: int) -> Fraction:
    """Compute frames a second from the file's stated duration; without one, return the chosen rate."""
    duration_s = parse_number(stream.get("duration")) or parse_number(shown["format"].get("duration"))
    return Fraction(frames) / Fraction(duration_s).limit_denominator(1_000_000) if duration_s > 0 else rate


def _read_video(stream: dict[str, Any], rate: Fraction, frames: int) -> VideoStream:
    rotation = _to_quarter(_read_rotation(stream))
    width, height = compute_display_size(*_read_size(stream), stream.get("sample_aspect_ratio", "1:1"))
    return VideoStream(
        index=stream["index"],
        codec=stream.get("codec_name", "unknown"),
        width_px=height if rotation % 180 else width,
        height_px=width if rotation % 180 else height,
        frame_rate=f"{rate.numerator}/{rate.denominator}",
        frames=frames,
        bit_depth=_read_bit_depth(stream),
        pixel_format=stream.get("pix_fmt", "unknown"),
        rotation_deg=rotation,
        interlaced=_read_deinterlacing(stream) != "none",
        colour_transfer=stream.get("color_transfer", "unknown"),
    )


def _read_size(stream: dict[str, Any]) -> tuple[int, int]:
    """Read the size of a picture without what the container crops."""
    width, height = int(stream["width"]), int(stream["height"])
    for crop in stream.get("side_data_list", []):
        width -= int(crop.get("crop_left", 0)) + int(crop.get("crop_right", 0))
        height -= int(crop.get("crop_top", 0)) + int(crop.get("crop_bottom", 0))
    return (width, height) if min(width, height) > 0 else (int(stream["width"]), int(stream["height"]))


def compute_display_size(width: int, height: int, shape: str) -> tuple[int, int]:
    """Compute the size with square pixels: one side is stretched, none is shrunk.

    `shape` is that of a pixel, such as 64:45.
    """
    sar = parse_fraction(shape.replace(":", "/")) or Fraction(1)
    if not Fraction(1, 8) <= sar <= 8:
        return width, height
    return (round(width * sar), height) if sar >= 1 else (width, round(height / sar))


def _read_rotation(stream: dict[str, Any]) -> int:
    turns = [int(data["rotation"]) for data in stream.get("side_data_list", []) if "rotation" in data]
    return turns[0] % 360 if turns else 0


def _to_quarter(turn: int) -> int:
    """Return the nearest quarter turn, in degrees."""
    return round(turn / 90) * 90 % 360


def _read_bit_depth(stream: dict[str, Any]) -> int:
    match = re.search(r"p(9|10|12|14|16)(?:le|be)?$|^(?:p0|y2)(1[02])", stream.get("pix_fmt", ""))
    return int(match[1] or match[2]) if match else 8


def _read_deinterlacing(stream: dict[str, Any]) -> Deinterlacing:
    return "all" if stream.get("field_order") in ("tt", "bb", "tb", "bt") else "none"


def _read_matrix(stream: dict[str, Any]) -> str:
    return "unknown" if _is_odd_matrix(stream) else str(stream.get("color_space", "unknown"))


def _is_odd_matrix(stream: dict[str, Any]) -> bool:
    matrix, pixels = stream.get("color_space", "unknown"), stream.get("pix_fmt", "")
    return matrix not in _MATRICES and not pixels.startswith(_RGB_FORMATS)


def is_rgb(pixel_format: str) -> bool:
    """Return whether a pixel format has no colour matrix."""
    return pixel_format.startswith(_RGB_FORMATS)


def _read_peak(stream: dict[str, Any]) -> int:
    """Read the brightest light of a picture in high dynamic range, in nits."""
    for data in stream.get("side_data_list", []):
        peak = data.get("max_content") or data.get("max_luminance")
        nits = parse_fraction(str(peak)) if peak else None
        if nits and 300 <= nits <= 10_000:
            return round(nits)
    return _DEFAULT_PEAK_NITS


def _choose_decoder(stream: dict[str, Any]) -> str:
    """Choose the decoder of a picture whose alpha channel FFmpeg's own decoder drops (WebM's `alpha_mode`)."""
    tags = {name.lower(): text for name, text in stream.get("tags", {}).items()}
    return (
        {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.get("codec_name", ""), "") if tags.get("alpha_mode") else ""
    )


def list_stated_rates(stream: dict[str, Any]) -> list[Fraction]:
    """List the frame rates that the container states, without clock rates such as 90000/1."""
    rates = (parse_fraction(stream.get(name, "")) for name in ("avg_frame_rate", "r_frame_rate"))
    return [rate for rate in rates if rate and rate <= 300 and rate.denominator <= 100_000]


def parse_number(text: str | None) -> float:
    """Parse a number of ffprobe; 0 for what is none."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def parse_fraction(text: str) -> Fraction | None:
    """Parse a fraction of ffprobe; None for 0 and for what is none."""
    try:
        return Fraction(text) or None
    except (ValueError, ZeroDivisionError):
        return None
