"""Which sound and which subtitles are made of what came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

import msgspec

from matinee.encoding.api import AudioStream, Report
from matinee.encoding.model.languages import tag
from matinee.encoding.model.plan import STEREO_BPS, SURROUND_BPS, AudioTrackPlan, Text
from matinee.encoding.model.source import MediaSource, Role

TEXT_CODECS = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text"})
TEXT_ROLES = ("subtitle", "caption", "forced")


class AudioSideFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of sound, stored, and its first stream."""

    key: str
    stream: AudioStream
    language: str
    role: str


class TextSideFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of subtitles, stored."""

    key: str
    language: str
    role: str


def sounds(key: str, source: MediaSource, language: str, side: Iterable[AudioSideFile]) -> tuple[AudioTrackPlan, ...]:
    """Stereo of every language and role, and 5.1 where there is that much; a side file stands before a stream."""
    made: dict[str, AudioTrackPlan] = {}
    for one in side:
        _add(made, one.key, one.stream, _known(one.language, language), _role(one.role), 0)
    own: dict[str, AudioTrackPlan] = {}
    for stream in source.report.audio:
        role = source.roles.get(stream.index, "main")
        _add(own, key, stream, _known(stream.language, language), role, source.start_us)
    return tuple({**own, **made}.values())


def _add(
    made: dict[str, AudioTrackPlan], key: str, stream: AudioStream, language: str, role: Role, delay_us: int
) -> None:
    for channels, bps in ((2, STEREO_BPS), (6, SURROUND_BPS)):
        if channels > 2 and stream.channels < channels:
            continue
        track_id = "-".join(["audio", language.lower(), *([role] if role != "main" else []), f"{channels}ch"])
        if track_id not in made:
            made[track_id] = AudioTrackPlan(
                track_id=track_id,
                source_key=key,
                stream=stream.index,
                language=language,
                channels=channels,
                bps=bps,
                role=role,
                delay_us=delay_us,
            )


def texts(key: str, source: MediaSource, language: str, side: Iterable[TextSideFile]) -> tuple[Text, ...]:
    """One file for every language and role; a side file stands before a stream."""
    made = {text.track_id: text for text in _side_texts(language, side)}
    for stream in source.report.subtitles:
        if stream.codec in TEXT_CODECS:
            own = _text(key, _known(stream.language, language), "subtitle", stream.index)
            made.setdefault(own.track_id, own)
    return tuple(made.values())


def _side_texts(language: str, side: Iterable[TextSideFile]) -> Iterator[Text]:
    for one in side:
        yield _text(one.key, _known(one.language, language), one.role if one.role in TEXT_ROLES else "subtitle", None)


def _text(key: str, language: str, role: str, stream: int | None) -> Text:
    track_id = "-".join(["text", language.lower(), *([role] if role != "subtitle" else [])])
    return Text(track_id=track_id, source_key=key, language=language, role=role, stream=stream)


def warnings(source: MediaSource) -> list[str]:
    """What a person should know of a master though it is no reason to refuse."""
    report, video = source.report, source.report.video
    said = {
        "there is no sound in the film": not report.audio,
        f"the frames do not keep one rate that players take: it becomes {source.rate} a second": not source.constant,
        "the picture is interlaced: it is made progressive": video.interlaced,
        "the picture has high dynamic range: it is made standard range": source.hdr,
        f"the picture has {video.bit_depth} bits a sample: it is made 8": video.bit_depth > 8 and not source.hdr,
    }
    drawn = [s for s in report.subtitles if s.codec not in TEXT_CODECS]
    lost = [f"subtitles (stream {s.index}, {s.codec}) are pictures: hand in a text file" for s in drawn]
    return [*(what for what, so in said.items() if so), *lost]


def _known(language: str, otherwise: str) -> str:
    said = tag(language)
    return tag(otherwise) if said == "und" else said


def _role(said: str) -> Role:
    return next((role for role in get_args(Role) if role == said), "main")


def reported(source: MediaSource) -> Report:
    """The report of a master, with what a person should know."""
    return msgspec.structs.replace(source.report, warnings=warnings(source))
