"""Selection of audio and subtitle tracks from a master and its side files."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from typing import get_args

from msgspec.structs import replace

from matinee.encoding.api import AudioStream, SideFile, SubtitleStream
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.plan import STEREO_BPS, SURROUND_BPS, AudioTrackPlan, TextRole, TextTrackPlan
from matinee.encoding.model.source import MediaSource, Role

# Captions in the packets of the picture.
CAPTIONS = "captions"
# The codecs of subtitles that are text, and the kind of file that each is extracted to.
TEXT_CODECS = {
    "subrip": "srt",
    "ass": "ass",
    "ssa": "ass",
    "webvtt": "vtt",
    "mov_text": "srt",
    "text": "srt",
    "eia_608": "vtt",
    CAPTIONS: "vtt",
}
IMAGE_CODECS = frozenset({"dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "xsub"})
# Numbers of streams with one channel each that belong together: how many of them, and the layout they make.
_MONO_SETS = {2: (2,), 6: (6,), 8: (6, 2)}
# Containers in which editing programs keep every channel in a stream of its own.
_MONO_CONTAINERS = frozenset({"mov", "mxf", "gxf", "wav"})


def plan_audio(
    key: str, source: MediaSource, language: str, side: Iterable[tuple[SideFile, AudioStream]]
) -> tuple[AudioTrackPlan, ...]:
    """Plan stereo for every sound, and 5.1 where it has that.

    A side file replaces the sound of its language and role.
    """
    from_files: dict[str, list[AudioTrackPlan]] = {}
    for file, stream in side:
        role: Role = next((role for role in get_args(Role) if role == file.role), "main")
        _plan_sound(from_files, file.path, (stream.index,), stream, _resolve(file.language, language), role, 0)
    own: dict[str, list[AudioTrackPlan]] = {}
    for streams in group_sounds(source):
        first = streams[0]
        role = next((role for role in get_args(Role) if role == first.role), "main")
        stream = replace(first, channels=max(first.channels, len(streams)))
        indexes = tuple(stream.index for stream in streams)
        _plan_sound(own, key, indexes, stream, _resolve(first.language, language), role, source.start_us)
    return tuple(track for tracks in (own | from_files).values() for track in tracks)


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
    sounds: dict[str, list[AudioTrackPlan]],
    key: str,
    indexes: tuple[int, ...],
    stream: AudioStream,
    language: str,
    role: Role,
    delay_us: int,
) -> None:
    """Add the tracks of a sound by its name, which is numbered."""
    name, number = _number(_build_id("audio", language, role), sounds)
    sounds[name] = [
        AudioTrackPlan(
            track_id=f"{name}-{channels}ch",
            source_key=key,
            streams=indexes,
            language=language,
            channels=channels,
            bps=bps,
            role=role,
            label=stream.title if len(indexes) == 1 else "",
            number=number,
            delay_us=delay_us,
        )
        for channels, bps in ((2, STEREO_BPS), (6, SURROUND_BPS))
        if channels == 2 or stream.channels >= channels
    ]


def _build_id(kind: str, language: str, role: Role | TextRole) -> str:
    return "-".join([kind, language.lower(), *([role] if role not in ("main", "subtitle") else [])])


def plan_text(key: str, source: MediaSource, language: str, side: Iterable[SideFile]) -> tuple[TextTrackPlan, ...]:
    """Plan a subtitle track for every text stream, for captions in the picture, and for every side file.

    A side file replaces the stream of its id.
    """
    from_files: dict[str, TextTrackPlan] = {}
    for file in side:
        role: TextRole = next((role for role in get_args(TextRole) if role == file.role), "subtitle")
        _plan_text(from_files, file.path, _resolve(file.language, language), role)
    own: dict[str, TextTrackPlan] = {}
    for stream in source.report.subtitles:
        if stream.codec in TEXT_CODECS:
            role = next((role for role in get_args(TextRole) if role == stream.role), "subtitle")
            _plan_text(own, key, _resolve(stream.language, language), role, stream)
    if source.captions:
        captions = SubtitleStream(index=source.report.video.index, codec=CAPTIONS, language="und")
        _plan_text(own, key, parse_language(language), "caption", captions)
    return tuple((own | from_files).values())


def _plan_text(
    tracks: dict[str, TextTrackPlan], key: str, language: str, role: TextRole, stream: SubtitleStream | None = None
) -> None:
    """Add a track by its id, which is numbered."""
    track_id, _ = _number(_build_id("text", language, role), tracks)
    tracks[track_id] = TextTrackPlan(
        track_id=track_id,
        source_key=key,
        language=language,
        role=role,
        label=stream.title if stream else "",
        stream=stream.index if stream else None,
        codec=stream.codec if stream else "",
    )


def _number(name: str, taken: Container[str]) -> tuple[str, int]:
    """Return the name, or the first free one of `name-2`, `name-3`…, and its number."""
    numbered, number = name, 1
    while numbered in taken:
        number += 1
        numbered = f"{name}-{number}"
    return numbered, number


def list_warnings(source: MediaSource) -> list[str]:
    """List what a person should know about a master that is accepted."""
    report, video = source.report, source.report.video
    findings = {
        "the film has no audio": not report.audio,
        describe_rate(source): not source.constant,
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


def describe_rate(source: MediaSource) -> str:
    """Describe the rate to which a master is converted."""
    return f"the frame rate varies or is not one that players support: it becomes {source.rate} frames a second"


def _describe_skipped(index: int, codec: str) -> str:
    if codec in IMAGE_CODECS:
        return f"subtitles (stream {index}, {codec}) are images: add a text file"
    return f"subtitles (stream {index}, {codec}) are left out: this format cannot be converted"


def _resolve(language: str, default: str) -> str:
    found = parse_language(language)
    return parse_language(default) if found == "und" else found
