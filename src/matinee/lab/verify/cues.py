"""Compares subtitles: their number, times and texts, as FFmpeg reads them from the source."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, TypeAlias

from matinee.drivers.ffmpeg import input_arguments
from matinee.drivers.process import ToolFailed
from matinee.lab.verify.checks import Check, judge, skip
from matinee.lab.verify.media import MediaReader

Cue: TypeAlias = tuple[float, float, str]
TEXT_CODECS = ("subrip", "ass", "ssa", "webvtt", "mov_text", "text")
_TOLERANCE_S = 0.050
_TIME = r"(?:(\d+):)?(\d+):(\d+)[.,](\d+)"
_TIMING = re.compile(rf"{_TIME} --> {_TIME}")
_DIALOGUE = re.compile(r"Dialogue: (?:[^,]*,)(\d+):(\d+):(\d+)\.(\d+),(\d+):(\d+):(\d+)\.(\d+),(.*)")
_DRAWN = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|$)")


async def check_cues(
    reader: MediaReader,
    source: Path,
    stream: dict[str, Any],
    published: bytes,
    name: str,
    offset_s: float,
    end_s: float,
) -> Check:
    """Check the cues of a track against its stream."""
    ours = _parse(published.decode())
    theirs = await _read_source(reader, source, stream)
    if theirs is None:
        return skip("cues", name, f"FFmpeg cannot read the stream; published: {describe(ours)}")
    moved = [(start + offset_s, min(end + offset_s, end_s), text) for start, end, text in theirs]
    wanted = sorted({cue for cue in moved if cue[0] < end_s and cue[1] > max(0.0, cue[0]) and cue[2]})
    faults = [f"{len(ours)} of {len(wanted)}"] if len(ours) != len(wanted) else []
    for cue, other in zip(sorted(ours), wanted, strict=False):
        if abs(cue[0] - max(0.0, other[0])) > _TOLERANCE_S or abs(cue[1] - other[1]) > _TOLERANCE_S:
            faults.append(f"{cue[0]:.3f} to {cue[1]:.3f} s, not {other[0]:.3f} to {other[1]:.3f} s")
        if cue[2] != other[2]:
            faults.append(f"{cue[2][:40]!r}, not {other[2][:40]!r}")
    return judge("cues", name, not faults, "; ".join(faults[:3]) or describe(ours))


def describe_published(published: bytes) -> str:
    """Describe the cues of a published file."""
    return describe(_parse(published.decode()))


def describe(cues: list[Cue]) -> str:
    """Describe cues by their number and first texts."""
    return f"{len(cues)}: {' / '.join(text[:40] for _, _, text in cues[:3])}"


async def _read_source(reader: MediaReader, source: Path, stream: dict[str, Any]) -> list[Cue] | None:
    is_styled = stream["codec_name"] in ("ass", "ssa")
    form, name = ("ass", "source.ass") if is_styled else ("srt", "source.srt")
    convert = ["-c:s", "copy" if is_styled else "srt", "-f", form, name]
    # FFmpeg alone moves timed text to the start of a film that was cut within a cue.
    edited = ["-advanced_editlist", "0"] if stream["codec_name"] == "mov_text" else []
    try:
        log = await reader.run(["-copyts", *edited, *input_arguments(source), "-map", f"0:{stream['index']}", *convert])
        text = reader.read(name).decode()
    except (ToolFailed, UnicodeDecodeError):
        return None
    if log:
        return None
    return _parse_styled(text) if is_styled else _parse(text)


def _parse(text: str) -> list[Cue]:
    cues = []
    for block in re.split(r"\n\s*\n", text.replace("\r", "")):
        lines = block.strip().split("\n")
        found = next(((n, match) for n, line in enumerate(lines) if (match := _TIMING.match(line))), None)
        if found:
            at, match = found
            plain = _clean("\n".join(lines[at + 1 :]))
            cues.append((_to_seconds(match.groups()[:4], 3), _to_seconds(match.groups()[4:8], 3), plain))
    return cues


def _parse_styled(text: str) -> list[Cue]:
    cues = []
    fields = next((line for line in reversed(text.split("\n")) if line.startswith("Format:")), "").count(",") - 2
    for match in map(_DIALOGUE.match, text.split("\n")):
        if match:
            spoken = _DRAWN.sub("", match[9].split(",", max(0, fields - 1))[-1])
            plain = _clean(re.sub(r"\\[Nn]", "\n", re.sub(r"\{[^{}]*\}", "", spoken)).replace("\\h", " "))
            cues.append((_to_seconds(match.groups()[:4], 2), _to_seconds(match.groups()[4:8], 2), plain))
    return cues


def _clean(text: str) -> str:
    plain = html.unescape(re.sub(r"<[^<>]*>|\{\\[^{}]*\}", "", text)).replace("\u200b", "")
    return " ".join(plain.split())


def _to_seconds(parts: tuple[str | None, ...], digits: int) -> float:
    hours, minutes, seconds, fraction = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + seconds + fraction / float(10**digits)
