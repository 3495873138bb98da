"""Compares what a title offers with the streams of its source: languages, roles, labels, chapters, programmes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from matinee.catalogue.api import Asset, AudioTrack, TextTrack
from matinee.encoding.model.languages import parse_language
from matinee.lab.verify.checks import Check, judge, skip

_MARK_MS = 50
_COMMENTARY = re.compile(r"[ck]omment", re.IGNORECASE)
# Longer titles are cut.
_TITLE_LETTERS = 90


def list_streams(shown: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """List the streams of a kind that can be decoded, without covers."""
    streams = [stream for stream in shown.get("streams", []) if stream.get("codec_type") == kind]
    flags = ("attached_pic", "still_image", "timed_thumbnails")
    return [s for s in streams if s.get("codec_name") and not any(has_flag(s, flag) for flag in flags)]


def has_flag(stream: dict[str, Any], name: str) -> bool:
    """Return whether a stream has a disposition."""
    return bool(stream.get("disposition", {}).get(name, 0))


def get_tag(stream: dict[str, Any], name: str) -> str:
    """Return a tag of a stream, whatever the case of its name; empty where it is missing."""
    return next((str(v) for key, v in stream.get("tags", {}).items() if key.lower() == name), "")


def check_left_out(
    kind: str, streams: Iterable[dict[str, Any]], made: set[int], warnings: Sequence[str]
) -> list[Check]:
    """Check that every stream without a track is named in a warning, by its number or its title."""
    checks = []
    for stream in streams:
        if (index := stream["index"]) in made:
            continue
        title = get_tag(stream, "title")
        named = [w for w in warnings if _names_stream(w, index) or (title and title in w)]
        named = named or [w for w in warnings if stream.get("programme") and "programme" in w]
        found = f"left out: {named[0]}" if named else "left out, and no warning names it"
        checks.append(judge("tracks", f"{kind} stream {index}", bool(named), found))
    return checks


def _names_stream(warning: str, index: int) -> bool:
    return bool(re.search(rf"\bstreams? (?:[\d, and]+)?{index}\b", warning))


def check_audio_track(track: AudioTrack, stream: dict[str, Any], warnings: Sequence[str], *, several: bool) -> Check:
    """Check channels, language, role and label of a track against its stream."""
    language, title = parse_language(get_tag(stream, "language") or "und"), get_tag(stream, "title")
    wanted = 6 if track.channels > 2 else 2
    is_comment = has_flag(stream, "comment") or bool(_COMMENTARY.search(title))
    is_description = any(has_flag(stream, flag) for flag in ("visual_impaired", "descriptions"))
    is_joined = any("joined" in w and _names_stream(w, stream["index"]) for w in warnings)
    has_fewer = track.channels > 2 and int(stream.get("channels", 0)) < 6 and not is_joined
    faults = [f"{track.channels} channels of {stream.get('channels')}"] * (track.channels != wanted or has_fewer)
    faults += [f"language {track.language}, not {language}"] if language not in ("und", track.language) else []
    role = "commentary" if is_comment else "description" if is_description else "main"
    faults += [f"role {track.role}, not {role}"] if track.role != role else []
    if several and title[:_TITLE_LETTERS] not in track.label:
        faults.append(f"label {track.label!r} without {title!r}")
    found = f"stream {stream['index']}, {track.language} {track.role}, {track.channels} channels {track.label}".rstrip()
    return judge("tracks", track.track_id, not faults, ", ".join(faults) or found)


def choose_text_stream(track: TextTrack, streams: Iterable[dict[str, Any]], made: set[int]) -> dict[str, Any] | None:
    """Choose the stream of a track: the first of its language and role that no other track has."""
    for stream in streams:
        language = parse_language(get_tag(stream, "language") or "und")
        is_forced = has_flag(stream, "forced") == (track.role == "forced")
        if stream["index"] not in made and language in ("und", track.language) and is_forced:
            return stream
    return None


def check_chapters(asset: Asset, shown: dict[str, Any], offset_s: float) -> list[Check]:
    """Check the chapters of a source, which are on its clock. A single one within the film is none."""
    marks = [(get_tag(chapter, "title"), float(chapter["start_time"])) for chapter in shown.get("chapters", [])]
    wanted = [(title, start_s) for title, start_s in marks if (start_s + offset_s) * 1000 < asset.duration_ms]
    if len(wanted) < 2 and not asset.chapters:
        return []
    faults = [f"{len(asset.chapters)} of {len(wanted)}"] if len(asset.chapters) != len(wanted) else []
    for chapter, (title, start_s) in zip(asset.chapters, wanted, strict=False):
        start_ms = max(0.0, start_s + offset_s) * 1000
        if title != chapter.name:
            faults.append(f"{chapter.name!r}, not {title!r}")
        if abs(chapter.start_ms - start_ms) > _MARK_MS:
            faults.append(f"{chapter.name!r} begins at {chapter.start_ms} ms, not {start_ms:.0f}")
    return [judge("chapters", "", not faults, "; ".join(faults) or f"{len(asset.chapters)}")]


def list_programme(shown: dict[str, Any], index: int) -> set[int]:
    """List the streams of the programme that a stream belongs to; none where the source has no programmes."""
    programmes = [{s["index"] for s in programme.get("streams", [])} for programme in shown.get("programs", [])]
    return next((streams for streams in programmes if index in streams), set())


def check_programmes(shown: dict[str, Any], video: int, audio: Iterable[int]) -> list[Check]:
    """Check that picture and sound are of one programme where a source has several."""
    if len(shown.get("programs", [])) < 2:
        return []
    own = list_programme(shown, video)
    others = sorted(set(audio) - own)
    found = f"picture of stream {video}, sound of streams {sorted(audio)}"
    return [judge("programme", "", not others, found)] if own else [skip("programme", "", "the picture is in none")]
