"""Subtitles: reads and validates SubRip, WebVTT and Advanced SubStation, and writes WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter

import msgspec

# Ten times a film with 4,000 long subtitles; enough for Advanced SubStation with drawn signs.
LIMIT_BYTES = 4 << 20

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+(.*))?")
_ASS_TIME = re.compile(r"\s*(\d{1,4}):(\d{2}):(\d{2})[.:](\d{2})\s*")
_SETTING = re.compile(r"(vertical|line|position|size|align|region):\S+")
_VTT_TAG = re.compile(r"(</?(?:[biuc]|ruby|rt|v|lang)(?:[.\s][^<>]*)?>|<(?:\d+:)?\d\d:\d\d\.\d{3}>)")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")  # without { inside: linear
_SPECIAL = re.compile(r"[<&>{]")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|nbsp|lrm|rlm|#\d+|#x[0-9a-fA-F]+);)")
_NOT_SHOWN = re.compile(r"(NOTE|STYLE|REGION)([ \t]|$)")


class InvalidSubtitles(ValueError):
    """The file does not have the format of its name; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


class Cue(msgspec.Struct, frozen=True, gc=False):
    """A text and the time it is shown."""

    start_ms: int
    end_ms: int
    text: str
    settings: str = ""


def parse_subtitles(data: bytes, kind: str) -> list[Cue]:
    """Parse the cues of a file of a kind (`srt`, `vtt`, `ass`), ordered by time. Raises InvalidSubtitles.

    It takes time linear in the size, of which it refuses more than `LIMIT_BYTES`.
    """
    if len(data) > LIMIT_BYTES:
        raise InvalidSubtitles(1, f"subtitles have at most {LIMIT_BYTES >> 20} MB")
    lines = _decode(data).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    readers = {"srt": _read_blocks, "vtt": _read_webvtt, "ass": _read_substation, "ssa": _read_substation}
    if kind not in readers:
        raise InvalidSubtitles(1, f".{kind} files are not subtitles that Matinee reads: .srt, .vtt and .ass are")
    cues = sorted(readers[kind](lines), key=attrgetter("start_ms", "end_ms"))
    if not cues:
        raise InvalidSubtitles(len(lines), "the file has no subtitles")
    return cues


def format_webvtt(cues: list[Cue], *, until_ms: int) -> bytes:
    """Format cues as a WebVTT file, cut at the end of the film."""
    shown = [cue for cue in cues if cue.start_ms < until_ms and cue.end_ms > 0]
    return "\n".join(["WEBVTT", "", *(_format_cue(cue, until_ms) for cue in shown)]).encode()


def shift(cues: list[Cue], by_ms: int) -> list[Cue]:
    """Return the cues moved later by a time (earlier where it is negative)."""
    moved = (msgspec.structs.replace(cue, start_ms=cue.start_ms + by_ms, end_ms=cue.end_ms + by_ms) for cue in cues)
    return [cue for cue in moved if cue.end_ms > 0]


def _format_cue(cue: Cue, until_ms: int) -> str:
    start, end = _format_time(max(0, cue.start_ms)), _format_time(min(cue.end_ms, until_ms))
    return f"{start} --> {end}{' ' + cue.settings if cue.settings else ''}\n{cue.text}\n"


def _format_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _decode(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidSubtitles(line, "this is not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        raise InvalidSubtitles(text[: text.index("\0")].count("\n") + 1, "this is not text")
    return text


def _read_webvtt(lines: list[str]) -> Iterator[Cue]:
    if not re.match(r"WEBVTT([ \t]|$)", lines[0]):
        raise InvalidSubtitles(1, "a WebVTT file begins with the line WEBVTT")
    blank = next((n for n, line in enumerate(lines) if not line.strip()), len(lines))
    return _read_blocks([""] * blank + lines[blank:])


def _read_blocks(lines: list[str]) -> Iterator[Cue]:
    """Read blocks: an optional number or name, a timing, text. Notes and styles are skipped."""
    for first, block in _split_blocks(lines):
        if _NOT_SHOWN.match(block[0]):
            continue
        at = next((n for n, line in enumerate(block[:2]) if "-->" in line), None)
        if at is None:
            raise InvalidSubtitles(
                first, f"a time such as 00:00:01,000 --> 00:00:02,000 was expected, not {block[0][:40]!r}"
            )
        cue = _parse_cue(block[at], block[at + 1 :], first + at)
        if cue.text and cue.end_ms > cue.start_ms:
            yield cue


def _split_blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _parse_cue(timing: str, text: list[str], line: int) -> Cue:
    match = _TIMING.fullmatch(timing)
    if match is None:
        raise InvalidSubtitles(line, f"the time {timing.strip()[:60]!r} cannot be read")
    start_ms, end_ms = _parse_time(match.groups()[:4], line), _parse_time(match.groups()[4:8], line)
    if end_ms < start_ms:
        raise InvalidSubtitles(line, "the subtitle ends before it begins")
    settings = " ".join(filter(_SETTING.fullmatch, match[9].split())) if match[9] else ""
    return Cue(start_ms, end_ms, _clean("\n".join(text)), settings)


def _parse_time(parts: tuple[str | None, ...], line: int) -> int:
    hours, minutes, seconds = int(parts[0] or 0), int(parts[1] or 0), int(parts[2] or 0)
    if minutes > 59 or seconds > 59:
        raise InvalidSubtitles(line, "minutes and seconds are at most 59")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((parts[3] or "").ljust(3, "0"))


def _clean(text: str) -> str:
    """Keep the tags of WebVTT, drop other markup and escape special characters."""
    if _SPECIAL.search(text):
        pieces = _VTT_TAG.split(text)  # text, tag, text, tag, …, text
        pieces[::2] = map(_escape, pieces[::2])
        text = "".join(pieces)
    return "\n".join(filter(None, map(str.strip, text.split("\n"))))


def _escape(text: str) -> str:
    if not _SPECIAL.search(text):
        return text
    text = _BARE_AMPERSAND.sub("&amp;", _MARKUP.sub("", text))
    return text.replace("<", "&lt;").replace("-->", "--&gt;")


def _read_substation(lines: list[str]) -> Iterator[Cue]:
    """Read the `Dialogue:` lines of `[Events]`, whose `Format:` line gives the order of fields."""
    fields: list[str] = []
    if not any(line.strip().lower() == "[events]" for line in lines):
        raise InvalidSubtitles(1, "an Advanced SubStation file needs a section [Events]")
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition(":")
        if name.strip() == "Format":
            fields = [field.strip().lower() for field in rest.split(",")]
        elif name.strip() == "Dialogue":
            yield from _read_dialogue(fields, rest, number)


def _read_dialogue(fields: list[str], rest: str, line: int) -> Iterator[Cue]:
    values = dict(zip(fields, rest.split(",", max(0, len(fields) - 1)), strict=False))
    if not {"start", "end", "text"} <= values.keys():
        raise InvalidSubtitles(line, "a Dialogue line needs Start, End and Text as its Format line says")
    start_ms, end_ms = (_parse_ass_time(values[edge], line) for edge in ("start", "end"))
    text = re.sub(r"\\[Nn]", "\n", re.sub(r"\{[^{}]*\}", "", values["text"])).replace("\\h", "\u00a0")
    if end_ms > start_ms and (cleaned := _clean(text)):
        yield Cue(start_ms, end_ms, cleaned)


def _parse_ass_time(text: str, line: int) -> int:
    match = _ASS_TIME.fullmatch(text)
    if match is None:
        raise InvalidSubtitles(line, f"the time {text.strip()[:20]!r} cannot be read")
    hours, minutes, seconds, hundredths = map(int, match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + hundredths * 10
