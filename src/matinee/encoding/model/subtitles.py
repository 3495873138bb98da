"""Subtitles: reads and validates SubRip, WebVTT and Advanced SubStation, and writes WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from operator import attrgetter

import msgspec

from matinee.encoding.model.charsets import UndecodableText, decode_text
from matinee.encoding.model.cues import Cue, InvalidSubtitles, clean_text
from matinee.encoding.model.substation import read_substation

# Ten times a film with 4,000 long subtitles; enough for Advanced SubStation with drawn signs.
LIMIT_BYTES = 4 << 20
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+(.*))?")
# A line that was meant as a time, whatever is wrong with it.
_LIKE_TIMING = re.compile(r"\s*-?\d{1,4}\s*:\s*\d{1,2}(?:\s*:\s*\d{1,2})?(?:\s*[.,:]\s*\d|\s*-{1,2}\s*>)")
_NUMBER = re.compile(r"\s*\d{1,9}\s*")
_MICRODVD = re.compile(r"\{\d{1,9}\}\{\d{1,9}\}")
_SETTING = re.compile(
    r"vertical:(?:rl|lr)|line:-?\d{1,4}(?:\.\d{1,4})?%?(?:,(?:start|center|end))?|size:\d{1,3}(?:\.\d{1,4})?%"
    r"|position:\d{1,3}(?:\.\d{1,4})?%(?:,(?:line-left|center|line-right))?|align:(?:start|center|end|left|right)"
)
_NOT_SHOWN = re.compile(r"(NOTE|STYLE|REGION)([ \t]|$)")


class Subtitles(msgspec.Struct, frozen=True):
    """The cues of a file, ordered by time. `charset` names what it was written in where that had to be detected."""

    cues: list[Cue]
    charset: str = ""


def read_subtitles(data: bytes, kind: str, language: str = "und") -> Subtitles:
    """Read a file of a kind (`srt`, `vtt`, `ass`) in any character set. Raises InvalidSubtitles.

    `language` helps where the character set is not sure. The time is linear in the size, of which more than
    `LIMIT_BYTES` are refused.
    """
    if len(data) > LIMIT_BYTES:
        raise InvalidSubtitles(None, f"subtitles have at most {LIMIT_BYTES >> 20} MB")
    if kind not in ("srt", "vtt", "ass", "ssa"):
        raise InvalidSubtitles(
            None, f".{kind} files are not subtitles that Matinee reads: .srt, .vtt, .ass and .ssa are"
        )
    try:
        text, charset = decode_text(data, language)
    except UndecodableText as error:
        raise InvalidSubtitles(error.line, error.what) from None
    return Subtitles(_parse(text, kind), charset)


def parse_subtitles(data: bytes, kind: str, language: str = "und") -> list[Cue]:
    """Return the cues of `read_subtitles`."""
    return read_subtitles(data, kind, language).cues


def _parse(text: str, kind: str) -> list[Cue]:
    text = text.replace("\ufeff", "").replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    readers = {"srt": _read_subrip, "vtt": _read_webvtt, "ass": read_substation, "ssa": read_substation}
    cues = sorted(readers[kind](lines), key=attrgetter("start_ms", "end_ms"))
    if not cues:
        raise InvalidSubtitles(None, "there are none in it")
    return cues


def count_outside(cues: list[Cue], until_ms: int) -> int:
    """Count the cues that begin after the end of the film. Raises InvalidSubtitles where that is all of them."""
    outside = sum(cue.start_ms >= until_ms for cue in cues)
    if outside == len(cues):
        when = f"the film ends at {_format_time(until_ms)}"
        first = f", the first subtitle begins at {_format_time(cues[0].start_ms)}" if cues else ""
        raise InvalidSubtitles(None, f"no subtitle is within the film: {when}{first}")
    return outside


def format_webvtt(cues: list[Cue], *, until_ms: int) -> bytes:
    """Format cues as a WebVTT file, cut at the end of the film."""
    shown = [cue for cue in cues if cue.start_ms < until_ms and cue.end_ms > 0]
    return "\n".join(["WEBVTT", "", *(_format_cue(cue, until_ms) for cue in shown)]).encode()


def has_vertical_cues(webvtt: str) -> bool:
    """Return whether a WebVTT file has vertical text."""
    return any("-->" in line and " vertical:" in line for line in webvtt.split("\n"))


def shift(cues: list[Cue], by_ms: int) -> list[Cue]:
    """Return the cues moved later by a time (earlier where it is negative)."""
    moved = (msgspec.structs.replace(cue, start_ms=cue.start_ms + by_ms, end_ms=cue.end_ms + by_ms) for cue in cues)
    return [cue for cue in moved if cue.end_ms > 0]


def _format_cue(cue: Cue, until_ms: int) -> str:
    start, end = _format_time(max(0, cue.start_ms)), _format_time(min(cue.end_ms, until_ms))
    return f"{start} --> {end}{' ' + cue.settings if cue.settings else ''}\n{cue.text}\n"


def _format_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _read_webvtt(lines: list[str]) -> Iterator[Cue]:
    if not re.match(r"WEBVTT([ \t]|$)", lines[0]):
        raise InvalidSubtitles(1, "a WebVTT file begins with the line WEBVTT")
    end = next((n for n, line in enumerate(lines) if not line.strip() or "-->" in line), len(lines))
    return _read_blocks([""] * end + lines[end:])


def _read_subrip(lines: list[str]) -> Iterator[Cue]:
    """Read SubRip; a file of another format with this name is read as what it is."""
    start = next((line for line in lines if line.strip()), "")
    if re.match(r"WEBVTT([ \t]|$)", lines[0]):
        return _read_webvtt(lines)
    if start.strip().lower() == "[script info]":
        return read_substation(lines)
    if _MICRODVD.match(start):
        what = "this is MicroDVD, which counts frames: save it as .srt, with times"
        raise InvalidSubtitles(lines.index(start) + 1, what)
    return _read_blocks(lines)


def _read_blocks(lines: list[str]) -> Iterator[Cue]:
    """Read blocks: an optional number or name, a timing, text. Notes and styles are skipped.

    Blank lines may be missing between blocks, or be inside of a text.
    """
    cue: tuple[int, str, list[str]] | None = None
    for first, block in _split_blocks(lines):
        starts = list(_find_timings(block, first))
        if _NOT_SHOWN.match(block[0]) or (len(block) == 1 and _NUMBER.fullmatch(block[0])):
            continue
        if not starts or starts[0] > 1:
            if cue is None or (not starts and any(map(_LIKE_TIMING.match, block[:2]))):
                what = f"a time such as 00:00:01,000 --> 00:00:02,000 was expected, not {block[0][:40]!r}"
                raise InvalidSubtitles(first, what)
            cue[2].extend(_drop_number(block[: starts[0]]) if starts else block)
        for start, end in pairwise([*starts, len(block)]):
            if cue:
                yield from _parse_cue(*cue)
            text = block[start + 1 : end]
            cue = first + start, block[start], _drop_number(text) if end < len(block) else text
    if cue:
        yield from _parse_cue(*cue)


def _find_timings(block: list[str], first: int) -> Iterator[int]:
    """Yield the positions of the times in a block; its own is in its first two lines."""
    own = next((n for n, line in enumerate(block[:2]) if "-->" in line), None)
    for n, line in enumerate(block):
        if n == own:
            yield n
        elif "-->" in line and _LIKE_TIMING.match(line):
            if not _TIMING.fullmatch(line):
                raise InvalidSubtitles(first + n, f"the time {line.strip()[:60]!r} cannot be read")
            yield n


def _drop_number(text: list[str]) -> list[str]:
    """Return a text without the number of the subtitle that directly follows it."""
    return text[:-1] if text and _NUMBER.fullmatch(text[-1]) else text


def _split_blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _parse_cue(line: int, times: str, text: list[str]) -> Iterator[Cue]:
    """Yield the cue, or nothing where it has no text or no duration."""
    match = _TIMING.fullmatch(times)
    if match is None:
        raise InvalidSubtitles(line, f"the time {times.strip()[:60]!r} cannot be read")
    start_ms, end_ms = _parse_time(match.groups()[:4], line), _parse_time(match.groups()[4:8], line)
    if end_ms < start_ms:
        raise InvalidSubtitles(line, "the subtitle ends before it begins")
    settings = (match[9] or "").replace("align:middle", "align:center").split()
    cleaned = clean_text("\n".join(text), line)
    if cleaned and end_ms > start_ms:
        yield Cue(start_ms, end_ms, cleaned, " ".join(filter(_SETTING.fullmatch, settings)))


def _parse_time(parts: tuple[str | None, ...], line: int) -> int:
    hours, minutes, seconds = int(parts[0] or 0), int(parts[1] or 0), int(parts[2] or 0)
    if minutes > 59 or seconds > 59:
        raise InvalidSubtitles(line, "minutes and seconds are at most 59")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((parts[3] or "")[:3].ljust(3, "0"))
