"""Selection of audio and subtitle tracks from a master and its side files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from matinee.encoding.api import AudioStream, SideFile
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.plan import STEREO_BPS, SURROUND_BPS, AudioTrackPlan, TextRole, TextTrackPlan
from matinee.encoding.model.source import MediaSource, Role

# The codecs of subtitles that are text, and the kind of file that each is extracted to.
TEXT_CODECS = {"subrip": "srt", "ass": "ass", "ssa": "ass", "webvtt": "vtt", "mov_text": "srt", "text": "srt"}


def plan_audio(
    key: str, source: MediaSource, language: str, side: Iterable[tuple[SideFile, AudioStream]]
) -> tuple[AudioTrackPlan, ...]:
    """Plan stereo in every language and role, and 5.1 where the source has it; a side file precedes a stream."""
    from_files: dict[str, AudioTrackPlan] = {}
    for file, stream in side:
        role: Role = next((role for role in get_args(Role) if role == file.role), "main")
        _add_audio(from_files, file.path, stream, _resolve(file.language, language), role, 0)
    own: dict[str, AudioTrackPlan] = {}
    for stream in source.report.audio:
        role = source.roles.get(stream.index, "main")
        _add_audio(own, key, stream, _resolve(stream.language, language), role, source.start_us)
    return tuple({**own, **from_files}.values())


def _add_audio(
    tracks: dict[str, AudioTrackPlan], key: str, stream: AudioStream, language: str, role: Role, delay_us: int
) -> None:
    for channels, bps in ((2, STEREO_BPS), (6, SURROUND_BPS)):
        if channels > 2 and stream.channels < channels:
            continue
        track_id = "-".join(["audio", language.lower(), *([role] if role != "main" else []), f"{channels}ch"])
        if track_id not in tracks:
            tracks[track_id] = AudioTrackPlan(
                track_id=track_id,
                source_key=key,
                stream=stream.index,
                language=language,
                channels=channels,
                bps=bps,
                role=role,
                delay_us=delay_us,
            )


def plan_text(key: str, source: MediaSource, language: str, side: Iterable[SideFile]) -> tuple[TextTrackPlan, ...]:
    """Plan one subtitle track in every language and role; a side file precedes a stream."""
    tracks: dict[str, TextTrackPlan] = {}
    for file in side:
        role: TextRole = next((role for role in get_args(TextRole) if role == file.role), "subtitle")
        track = _plan_text(file.path, _resolve(file.language, language), role)
        tracks[track.track_id] = track
    for stream in source.report.subtitles:
        if stream.codec in TEXT_CODECS:
            track = _plan_text(key, _resolve(stream.language, language), "subtitle", stream.index)
            tracks.setdefault(track.track_id, track)
    return tuple(tracks.values())


def _plan_text(key: str, language: str, role: TextRole, stream: int | None = None) -> TextTrackPlan:
    track_id = "-".join(["text", language.lower(), *([role] if role != "subtitle" else [])])
    return TextTrackPlan(track_id=track_id, source_key=key, language=language, role=role, stream=stream)


def list_warnings(source: MediaSource) -> list[str]:
    """List what a person should know about a master that is accepted."""
    report, video = source.report, source.report.video
    findings = {
        "the film has no audio": not report.audio,
        f"the frame rate varies or is not one that players support: it becomes {source.rate} frames a second": (
            not source.constant
        ),
        "the picture is interlaced: it is made progressive": video.interlaced,
        "the picture has high dynamic range: it is converted to standard range": source.hdr,
        f"the picture has {video.bit_depth} bits a sample: it is converted to 8": video.bit_depth > 8
        and not source.hdr,
    }
    images = [s for s in report.subtitles if s.codec not in TEXT_CODECS]
    skipped = [f"subtitles (stream {s.index}, {s.codec}) are images: add a text file" for s in images]
    return [*(text for text, applies in findings.items() if applies), *skipped]


def _resolve(language: str, default: str) -> str:
    found = parse_language(language)
    return parse_language(default) if found == "und" else found
