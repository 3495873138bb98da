"""Subtitles: SubRip, WebVTT and Advanced SubStation in, validated; WebVTT out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s+(.*))?")
_ASS_TIME = re.compile(r"\s*(\d+):(\d{2}):(\d{2})[.:](\d{2})\s*")
_SETTING = re.compile(r"(vertical|line|position|size|align|region):\S+")
_VTT_TAG = re.compile(r"</?(?:[biuc]|ruby|rt|v|lang)(?:[.\s][^<>]*)?>|<(?:\d+:)?\d\d:\d\d\.\d{3}>")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^}]*\}")


class BrokenSubtitles(ValueError):
    """The text is not what its name says; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class Cue(msgspec.Struct, frozen=True):
    """A text and when it is shown."""

    start_ms: int
    end_ms: int
    text: str
    settings: str = ""


def parse(data: bytes, kind: str) -> list[Cue]:
    """The cues of a file by its kind (`srt`, `vtt`, `ass`), in the order of their times. Raises BrokenSubtitles."""
    lines = _decoded(data).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    readers = {"srt": _timed, "vtt": _webvtt, "ass": _substation, "ssa": _substation}
    if kind not in readers:
        raise BrokenSubtitles(1, f"subtitles as .{kind} are not taken; use .srt, .vtt or .ass")
    cues = sorted(readers[kind](lines), key=lambda cue: (cue.start_ms, cue.end_ms))
    if not cues:
        raise BrokenSubtitles(len(lines), "there is no subtitle in the file")
    return cues


def webvtt(cues: list[Cue], *, until_ms: int) -> bytes:
    """The cues as a WebVTT file, cut at the film's end."""
    shown = [cue for cue in cues if cue.start_ms < until_ms and cue.end_ms > 0]
    return "\n".join(["WEBVTT", "", *(_block(cue, until_ms) for cue in shown)]).encode()


def shifted(cues: list[Cue], by_ms: int) -> list[Cue]:
    """The cues, all later by a time (or earlier)."""
    moved = (msgspec.structs.replace(cue, start_ms=cue.start_ms + by_ms, end_ms=cue.end_ms + by_ms) for cue in cues)
    return [cue for cue in moved if cue.end_ms > 0]


def _block(cue: Cue, until_ms: int) -> str:
    start, end = _stamp(max(0, cue.start_ms)), _stamp(min(cue.end_ms, until_ms))
    return f"{start} --> {end}{' ' + cue.settings if cue.settings else ''}\n{cue.text}\n"


def _stamp(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BrokenSubtitles(line, "this is not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        raise BrokenSubtitles(text[: text.index("\0")].count("\n") + 1, "this is not text")
    return text


def _webvtt(lines: list[str]) -> Iterator[Cue]:
    if not re.match(r"WEBVTT([ \t]|$)", lines[0]):
        raise BrokenSubtitles(1, "a WebVTT file begins with the line WEBVTT")
    blank = next((n for n, line in enumerate(lines) if not line.strip()), len(lines))
    return _timed([""] * blank + lines[blank:])


def _timed(lines: list[str]) -> Iterator[Cue]:
    """Blocks apart by blank lines: an optional number or name, a timing, text. Notes and styles are passed over."""
    for first, block in _blocks(lines):
        if re.match(r"(NOTE|STYLE|REGION)([ \t]|$)", block[0]):
            continue
        at = next((n for n, line in enumerate(block[:2]) if "-->" in line), None)
        if at is None:
            raise BrokenSubtitles(
                first, f"a time such as 00:00:01,000 --> 00:00:02,000 was expected, not {block[0][:40]!r}"
            )
        cue = _cue(block[at], block[at + 1 :], first + at)
        if cue.text and cue.end_ms > cue.start_ms:
            yield cue


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _cue(timing: str, text: list[str], line: int) -> Cue:
    match = _TIMING.fullmatch(timing)
    if match is None:
        raise BrokenSubtitles(line, f"the time {timing.strip()[:60]!r} cannot be read")
    start_ms, end_ms = _ms(match.groups()[:4], line), _ms(match.groups()[4:8], line)
    if end_ms < start_ms:
        raise BrokenSubtitles(line, "the subtitle ends before it begins")
    settings = " ".join(word for word in (match[9] or "").split() if _SETTING.fullmatch(word))
    return Cue(start_ms, end_ms, _clean("\n".join(text)), settings)


def _ms(parts: tuple[str | None, ...], line: int) -> int:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    if int(minutes) > 59 or int(seconds) > 59:
        raise BrokenSubtitles(line, "minutes and seconds end at 59")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))


def _clean(text: str) -> str:
    """Text with the tags that WebVTT knows; other mark-up goes, and stray signs are escaped."""
    pieces, at = [], 0
    for match in _VTT_TAG.finditer(text):
        pieces += [_plain(text[at : match.start()]), match[0]]
        at = match.end()
    kept = "".join([*pieces, _plain(text[at:])])
    return "\n".join(line.strip() for line in kept.split("\n") if line.strip())


def _plain(text: str) -> str:
    text = re.sub(r"&(?!(?:amp|lt|gt|nbsp|lrm|rlm|#\d+|#x[0-9a-fA-F]+);)", "&amp;", _MARKUP.sub("", text))
    return text.replace("<", "&lt;").replace("-->", "--&gt;")


def _substation(lines: list[str]) -> Iterator[Cue]:
    """The `Dialogue:` lines of `[Events]`, in the order of fields that its `Format:` line gives."""
    fields: list[str] = []
    if not any(line.strip().lower() == "[events]" for line in lines):
        raise BrokenSubtitles(1, "an Advanced SubStation file has a section [Events]")
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition(":")
        if name.strip() == "Format":
            fields = [field.strip().lower() for field in rest.split(",")]
        elif name.strip() == "Dialogue":
            yield from _dialogue(fields, rest, number)


def _dialogue(fields: list[str], rest: str, line: int) -> Iterator[Cue]:
    values = dict(zip(fields, rest.split(",", max(0, len(fields) - 1)), strict=False))
    if not {"start", "end", "text"} <= values.keys():
        raise BrokenSubtitles(line, "a Dialogue line needs Start, End and Text as its Format line says")
    start_ms, end_ms = (_ass_ms(values[edge], line) for edge in ("start", "end"))
    text = re.sub(r"\\[Nn]", "\n", re.sub(r"\{[^}]*\}", "", values["text"])).replace("\\h", "\u00a0")
    if end_ms > start_ms and (cleaned := _clean(text)):
        yield Cue(start_ms, end_ms, cleaned)


def _ass_ms(said: str, line: int) -> int:
    match = _ASS_TIME.fullmatch(said)
    if match is None:
        raise BrokenSubtitles(line, f"the time {said.strip()[:20]!r} cannot be read")
    hours, minutes, seconds, hundredths = map(int, match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + hundredths * 10
