"""Conversion of ffprobe's output to a source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from matinee.encoding.api import AudioStream, Report, SubtitleStream, VideoStream
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.source import MediaSource, Role, choose_rate

# Containers with an index of keyframes, by which FFmpeg finds the keyframe before any time.
_INDEXED = ("mov,mp4", "matroska,webm")
UNINDEXED_LEAD_S = 15

_ENTRIES = (
    "format=format_name,start_time,duration,size:stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,"
    "pix_fmt,bits_per_raw_sample,field_order,color_space,color_transfer,r_frame_rate,avg_frame_rate,"
    "channels,sample_rate,start_time,duration:stream_tags=language:stream_disposition:stream_side_data=rotation"
)
SHOW = ("-show_entries", _ENTRIES)


def list_videos(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """List video streams without covers and icons: the default one first, then the largest."""
    streams = [s for s in shown.get("streams", []) if s.get("codec_type") == "video" and not _is_cover(s)]
    size = {s["index"]: s.get("width", 0) * s.get("height", 0) for s in streams}
    return sorted(streams, key=lambda s: (not _has_flag(s, "default"), -size[s["index"]]))


def read_source(
    shown: dict[str, Any], stream: dict[str, Any], times_s: Sequence[float], size_bytes: int
) -> MediaSource:
    """Build a source from ffprobe's output and the times of its frames."""
    rate, constant = choose_rate(times_s, _list_stated_rates(stream))
    offset_s = _parse_number(shown["format"].get("start_time"))
    first_s = times_s[0] if times_s else offset_s
    frames = max(1, len(times_s))
    return MediaSource(
        report=_read_report(shown, stream, rate, frames, size_bytes),
        rate=f"{rate.numerator}/{rate.denominator}",
        constant=constant,
        start_us=max(0, round((first_s - offset_s) * 1_000_000)),
        seek_lead_s=0 if shown["format"].get("format_name", "").startswith(_INDEXED) else UNINDEXED_LEAD_S,
        matrix=stream.get("color_space", "unknown"),
        roles={s["index"]: _read_role(s) for s in shown["streams"] if s.get("codec_type") == "audio"},
    )


def _read_report(shown: dict[str, Any], stream: dict[str, Any], rate: Fraction, frames: int, size_bytes: int) -> Report:
    return Report(
        container=shown["format"].get("format_name", "").partition(",")[0],
        duration_ms=round(frames / _compute_average(shown, stream, rate, frames) * 1000),
        size_bytes=size_bytes,
        video=_read_video(stream, rate, frames),
        audio=read_audio(shown),
        subtitles=[
            SubtitleStream(index=s["index"], codec=s.get("codec_name", "unknown"), language=_read_language(s))
            for s in shown["streams"]
            if s.get("codec_type") == "subtitle"
        ],
    )


def _compute_average(shown: dict[str, Any], stream: dict[str, Any], rate: Fraction, frames: int) -> Fraction:
    """Compute frames a second from the file's stated duration; without one, return the chosen rate."""
    duration_s = _parse_number(stream.get("duration")) or _parse_number(shown["format"].get("duration"))
    return Fraction(frames) / Fraction(duration_s).limit_denominator(1_000_000) if duration_s > 0 else rate


def _read_video(stream: dict[str, Any], rate: Fraction, frames: int) -> VideoStream:
    rotation = _read_rotation(stream)
    width, height = _compute_display_size(stream)
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
        interlaced=stream.get("field_order") in ("tt", "bb", "tb", "bt"),
        colour_transfer=stream.get("color_transfer", "unknown"),
    )


def read_audio(shown: dict[str, Any]) -> list[AudioStream]:
    """Read the audio streams that can be decoded."""
    return [
        AudioStream(
            index=s["index"],
            codec=s["codec_name"],
            channels=int(s.get("channels", 0)),
            sample_rate_hz=int(s.get("sample_rate", 0)),
            language=_read_language(s),
        )
        for s in shown.get("streams", [])
        if s.get("codec_type") == "audio" and s.get("codec_name") and int(s.get("channels", 0)) > 0
    ]


def _compute_display_size(stream: dict[str, Any]) -> tuple[int, int]:
    """Compute the size with square pixels: one side is stretched, none is shrunk."""
    width, height = int(stream["width"]), int(stream["height"])
    sar = _parse_fraction(stream.get("sample_aspect_ratio", "1:1").replace(":", "/")) or Fraction(1)
    if not Fraction(1, 8) <= sar <= 8:
        return width, height
    return (round(width * sar), height) if sar >= 1 else (width, round(height / sar))


def _read_rotation(stream: dict[str, Any]) -> int:
    turns = [int(data["rotation"]) for data in stream.get("side_data_list", []) if "rotation" in data]
    return turns[0] % 360 if turns else 0


def _read_bit_depth(stream: dict[str, Any]) -> int:
    match = re.search(r"p(9|10|12|14|16)(?:le|be)?$|^(?:p0|y2)(1[02])", stream.get("pix_fmt", ""))
    return int(match[1] or match[2]) if match else 8


def _list_stated_rates(stream: dict[str, Any]) -> list[Fraction]:
    """List the frame rates that the container states, without clock rates such as 90000/1."""
    rates = (_parse_fraction(stream.get(name, "")) for name in ("avg_frame_rate", "r_frame_rate"))
    return [rate for rate in rates if rate and rate <= 300 and rate.denominator <= 100_000]


def _read_role(stream: dict[str, Any]) -> Role:
    if _has_flag(stream, "visual_impaired") or _has_flag(stream, "descriptions"):
        return "description"
    return "commentary" if _has_flag(stream, "comment") else "main"


def _read_language(stream: dict[str, Any]) -> str:
    return parse_language(stream.get("tags", {}).get("language", "und"))


def _is_cover(stream: dict[str, Any]) -> bool:
    return _has_flag(stream, "attached_pic") or _has_flag(stream, "still_image")


def _has_flag(stream: dict[str, Any], name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name, 0))


def _parse_number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _parse_fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text) or None
    except (ValueError, ZeroDivisionError):
        return None
