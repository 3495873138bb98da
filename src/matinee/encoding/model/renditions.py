"""Selection of audio and subtitle tracks from a master and its side files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeVar, get_args

from msgspec.structs import replace

from matinee.encoding.api import AudioStream, SideFile
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.plan import STEREO_BPS, SURROUND_BPS, AudioTrackPlan, TextRole, TextTrackPlan
from matinee.encoding.model.source import MediaSource, Role

# The codecs of subtitles that are text, and the kind of file that each is extracted to.
CAPTIONS = "eia_608"
TEXT_CODECS = {
    "subrip": "srt",
    "ass": "ass",
    "ssa": "ass",
    "webvtt": "vtt",
    "mov_text": "srt",
    "text": "srt",
    CAPTIONS: "vtt",
}
IMAGE_CODECS = frozenset({"dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "xsub"})
# Numbers of streams with one channel each that belong together: how many of them, and the layout they make.
_MONO_SETS = {2: (2,), 6: (6,), 8: (6, 2)}
# Containers in which editing programs keep every channel in a stream of its own.
_MONO_CONTAINERS = frozenset({"mov", "mxf", "gxf", "avi", "wav"})

T = TypeVar("T", AudioTrackPlan, TextTrackPlan)


def plan_audio(
    key: str, source: MediaSource, language: str, side: Iterable[tuple[SideFile, AudioStream]]
) -> tuple[AudioTrackPlan, ...]:
    """Plan stereo for every sound, and 5.1 where it has that; a side file replaces the stream of its id."""
    from_files: list[AudioTrackPlan] = []
    for file, stream in side:
        role: Role = next((role for role in get_args(Role) if role == file.role), "main")
        from_files += _plan_sound(file.path, (stream.index,), stream, _resolve(file.language, language), role, 0)
    own: list[AudioTrackPlan] = []
    for streams in group_sounds(source):
        first = streams[0]
        role = next((role for role in get_args(Role) if role == first.role), "main")
        stream = replace(first, channels=max(first.channels, len(streams)))
        indexes = tuple(stream.index for stream in streams)
        own += _plan_sound(key, indexes, stream, _resolve(first.language, language), role, source.start_us)
    return _merge(own, from_files)


def group_sounds(source: MediaSource) -> list[list[AudioStream]]:
    """Group the streams into sounds: those of one channel each that make a pair or a surround set are one sound."""
    groups: list[list[AudioStream]] = []
    for _, run in groupby(source.report.audio, key=lambda s: (s.channels, s.codec, s.language, s.role)):
        streams = list(run)
        sizes = _MONO_SETS.get(len(streams), ()) if _is_mono_set(source, streams) else ()
        for size in sizes:
            groups.append(streams[:size])
            streams = streams[size:]
        groups += [[stream] for stream in streams]
    return groups


def _is_mono_set(source: MediaSource, streams: Sequence[AudioStream]) -> bool:
    first = streams[0]
    of_editor = source.report.container in _MONO_CONTAINERS or first.codec.startswith("pcm_")
    return first.channels == 1 and first.role == "main" and of_editor


def _plan_sound(
    key: str, indexes: tuple[int, ...], stream: AudioStream, language: str, role: Role, delay_us: int
) -> Iterable[AudioTrackPlan]:
    for channels, bps in ((2, STEREO_BPS), (6, SURROUND_BPS)):
        if channels == 2 or stream.channels >= channels:
            yield AudioTrackPlan(
                track_id="-".join(["audio", language.lower(), *([role] if role != "main" else []), f"{channels}ch"]),
                source_key=key,
                streams=indexes,
                language=language,
                channels=channels,
                bps=bps,
                role=role,
                label=stream.title if len(indexes) == 1 else "",
                delay_us=delay_us,
            )


def plan_text(key: str, source: MediaSource, language: str, side: Iterable[SideFile]) -> tuple[TextTrackPlan, ...]:
    """Plan a subtitle track for every text stream, for captions in the picture, and for every side file.

    A side file replaces the stream of its id.
    """
    from_files = []
    for file in side:
        role: TextRole = next((role for role in get_args(TextRole) if role == file.role), "subtitle")
        from_files.append(_plan_text(file.path, _resolve(file.language, language), role))
    own = []
    for stream in source.report.subtitles:
        if stream.codec in TEXT_CODECS:
            role = next((role for role in get_args(TextRole) if role == stream.role), "subtitle")
            track = _plan_text(key, _resolve(stream.language, language), role, stream.index)
            own.append(replace(track, label=stream.title, codec=stream.codec))
    if source.captions:
        track = _plan_text(key, parse_language(language), "caption", source.report.video.index)
        own.append(replace(track, codec=CAPTIONS))
    return _merge(own, from_files)


def _plan_text(key: str, language: str, role: TextRole, stream: int | None = None) -> TextTrackPlan:
    track_id = "-".join(["text", language.lower(), *([role] if role != "subtitle" else [])])
    return TextTrackPlan(track_id=track_id, source_key=key, language=language, role=role, stream=stream)


def _merge(own: Sequence[T], from_files: Sequence[T]) -> tuple[T, ...]:
    """Give tracks with the same id numbers; a side file replaces the stream of its id."""
    tracks: dict[str, T] = {}
    for track in own:
        track_id = _number(track.track_id, tracks)
        tracks[track_id] = replace(track, track_id=track_id)
    replaced: dict[str, T] = {}
    for track in from_files:
        track_id = _number(track.track_id, replaced)
        replaced[track_id] = replace(track, track_id=track_id)
    return tuple({**tracks, **replaced}.values())


def _number(track_id: str, taken: Iterable[str]) -> str:
    """Return the id, or the first free one of `id-2`, `id-3`…; the layout of audio stays at the end."""
    name = re.sub(r"-\dch$", "", track_id)
    layout = track_id.removeprefix(name)
    number, candidate = 1, track_id
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}{layout}"
    return candidate


def list_warnings(source: MediaSource) -> list[str]:
    """List what a person should know about a master that is accepted."""
    report, video = source.report, source.report.video
    findings = {
        "the film has no audio": not report.audio,
        f"the frame rate varies or is not one that players support: it becomes {source.rate} frames a second": (
            not source.constant
        ),
        "the picture is interlaced: it is made progressive": source.deinterlacing != "none",
        "the picture has high dynamic range: it is converted to standard range": source.hdr,
        "the picture has wide-gamut colours: they are converted to BT.709": source.wide_gamut,
        f"the picture has {video.bit_depth} bits a sample: it is converted to 8": video.bit_depth > 8
        and not source.hdr,
        "the picture has transparent parts: they are shown on black": source.transparent,
        f"the picture changes its size or format: every part is fitted into {video.width_px}x{video.height_px}": len(
            source.stretches
        )
        > 1,
    }
    joined = [
        f"sound: streams {', '.join(str(s.index) for s in group)} of one channel each are joined"
        for group in group_sounds(source)
        if len(group) > 1
    ]
    skipped = [_describe_skipped(s.index, s.codec) for s in report.subtitles if s.codec not in TEXT_CODECS]
    return [*(text for text, applies in findings.items() if applies), *joined, *skipped, *source.notes]


def _describe_skipped(index: int, codec: str) -> str:
    if codec in IMAGE_CODECS:
        return f"subtitles (stream {index}, {codec}) are images: add a text file"
    return f"subtitles (stream {index}, {codec}) are left out: this format cannot be converted"


def _resolve(language: str, default: str) -> str:
    found = parse_language(language)
    return parse_language(default) if found == "und" else found
