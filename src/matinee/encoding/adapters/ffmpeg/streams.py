"""Conversion of the streams that ffprobe lists: sounds, subtitles, programmes, chapters."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from matinee.encoding.api import AudioStream, SubtitleStream
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.source import ChapterMark, Cover

STILL_CODECS = frozenset({"mjpeg", "png", "bmp", "webp", "tiff", "gif"})
# A smaller picture is an icon.
_COVER_PX = 300
_COMMENTARY = re.compile(r"comment(ary|aire)|kommentar|comentario|commento|комментари|コメンタリー|解説", re.IGNORECASE)
_DESCRIPTION = re.compile(
    r"audio.?descri|descriptive|visually impaired|hörfilm|audiodeskription|\bAD\b|\bDVS\b", re.IGNORECASE
)
_FORCED = re.compile(r"\b(forced|erzwungen|forcés?|forzad[oa]s?)\b", re.IGNORECASE)
_CAPTION = re.compile(
    r"\b(SDH|CC|closed captions?|hard of hearing|hörgeschädigte|gehörlose|malentendants|sordos)\b", re.IGNORECASE
)


def list_streams(shown: dict[str, Any], kind: str, within: Collection[int] | None = None) -> list[dict[str, Any]]:
    """List the streams of a kind (`audio`, `video`, `subtitle`), of a programme where one is given."""
    return [
        stream
        for stream in shown.get("streams", [])
        if stream.get("codec_type") == kind and (within is None or stream["index"] in within)
    ]


def list_videos(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """List video streams without flagged covers and icons: moving pictures first, the default one, the largest."""
    streams = [s for s in list_streams(shown, "video") if not _is_flagged_cover(s)]
    size = {s["index"]: s.get("width", 0) * s.get("height", 0) for s in streams}
    return sorted(
        streams, key=lambda s: (s.get("codec_name") in STILL_CODECS, not has_flag(s, "default"), -size[s["index"]])
    )


def find_cover(shown: dict[str, Any], film: int) -> Cover | None:
    """Find a still picture beside the film: a flagged one, or one in a format of still pictures."""
    for stream in list_streams(shown, "video"):
        is_still = _is_flagged_cover(stream) or stream.get("codec_name") in STILL_CODECS
        width, height = stream.get("width", 0), stream.get("height", 0)
        if is_still and stream["index"] != film and min(width, height) >= _COVER_PX:
            return Cover(index=stream["index"], is_upright=height > width)
    return None


def find_programme(shown: dict[str, Any], index: int) -> tuple[set[int] | None, str]:
    """Return the streams of the programme that a stream belongs to, and a note about the others."""
    programmes = [p for p in shown.get("programs", []) if _has_picture(p)]
    own = next((p for p in programmes if index in _list_indexes(p)), None)
    if own is None or len(programmes) < 2:
        return None, ""
    others = ", ".join(_name_programme(programme) for programme in programmes if programme is not own)
    return _list_indexes(own), f"of several programmes {_name_programme(own)} is used; left out: {others}"


def read_audio(shown: dict[str, Any], within: Collection[int] | None = None) -> list[AudioStream]:
    """Read the audio streams whose format is known."""
    return [
        AudioStream(
            index=s["index"],
            codec=s["codec_name"],
            channels=int(s.get("channels", 0)),
            sample_rate_hz=int(s.get("sample_rate", 0)),
            language=_read_language(s),
            title=_read_title(s),
            role=_read_sound_role(s),
        )
        for s in list_streams(shown, "audio", within)
        if s.get("codec_name") and int(s.get("channels", 0)) > 0
    ]


def read_subtitles(shown: dict[str, Any], within: Collection[int] | None = None) -> list[SubtitleStream]:
    """Read the subtitle streams."""
    return [
        SubtitleStream(
            index=s["index"],
            codec=s.get("codec_name", "unknown"),
            language=_read_language(s),
            title=_read_title(s),
            role=_read_text_role(s),
        )
        for s in list_streams(shown, "subtitle", within)
    ]


def read_chapters(shown: dict[str, Any], start_s: float) -> tuple[ChapterMark, ...]:
    """Read the chapters, whose times begin with the container's start."""
    return tuple(
        ChapterMark(
            start_us=max(0, round((float(chapter.get("start_time", 0)) - start_s) * 1_000_000)),
            title=" ".join(chapter.get("tags", {}).get("title", "").split())[:200],
        )
        for chapter in shown.get("chapters", [])
    )


def has_flag(stream: dict[str, Any], name: str) -> bool:
    """Return whether a stream has a disposition."""
    return bool(stream.get("disposition", {}).get(name, 0))


def name_stream(stream: dict[str, Any]) -> str:
    """Name a stream for a person: its kind, number and format."""
    kind = {"video": "picture", "audio": "sound", "subtitle": "subtitles"}.get(stream.get("codec_type", ""), "data")
    return f"{kind} (stream {stream['index']}, {stream.get('codec_name') or 'unknown format'})"


def _read_sound_role(stream: dict[str, Any]) -> str:
    title = _read_title(stream)
    if has_flag(stream, "visual_impaired") or has_flag(stream, "descriptions") or _DESCRIPTION.search(title):
        return "description"
    return "commentary" if has_flag(stream, "comment") or _COMMENTARY.search(title) else "main"


def _read_text_role(stream: dict[str, Any]) -> str:
    title = _read_title(stream)
    if has_flag(stream, "forced") or _FORCED.search(title):
        return "forced"
    is_flagged = any(has_flag(stream, flag) for flag in ("hearing_impaired", "captions"))
    is_caption = is_flagged or stream.get("codec_name") == "eia_608" or _CAPTION.search(title)
    return "caption" if is_caption else "subtitle"


def _read_language(stream: dict[str, Any]) -> str:
    return parse_language(stream.get("tags", {}).get("language", "und"))


def _read_title(stream: dict[str, Any]) -> str:
    tags = {name.lower(): text for name, text in stream.get("tags", {}).items()}
    return " ".join(str(tags.get("title") or tags.get("name", "")).split())[:100]


def _is_flagged_cover(stream: dict[str, Any]) -> bool:
    return has_flag(stream, "attached_pic") or has_flag(stream, "still_image") or has_flag(stream, "timed_thumbnails")


def _has_picture(programme: dict[str, Any]) -> bool:
    return any(stream.get("codec_type") == "video" for stream in programme.get("streams", []))


def _list_indexes(programme: dict[str, Any]) -> set[int]:
    return {stream["index"] for stream in programme.get("streams", [])}


def _name_programme(programme: dict[str, Any]) -> str:
    name = programme.get("tags", {}).get("service_name")
    return f"“{name}”" if name else f"number {programme.get('program_num', programme.get('program_id'))}"
