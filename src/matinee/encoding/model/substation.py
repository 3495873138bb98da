"""Advanced SubStation and SubStation Alpha: the text of the dialogue, without its styles and drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from matinee.encoding.model.cues import Cue, InvalidSubtitles, clean_text

_TIME = re.compile(r"\s*(\d{1,4}):(\d{1,2}):(\d{1,2})[.:](\d{1,3})\s*")
_DRAWING = re.compile(r"\\p(\d{1,9})")


def read_substation(lines: list[str]) -> Iterator[Cue]:
    """Read the `Dialogue:` lines of `[Events]`, whose `Format:` line gives the order of fields."""
    fields: list[str] = []
    known: set[Cue] = set()
    section = ""
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("["):
            section = line.strip().lower()
            continue
        name, _, rest = line.partition(":")
        if section != "[events]":
            continue
        if name.strip().lower() == "format":
            fields = [field.strip().lower() for field in rest.split(",")]
        elif name.strip().lower() == "dialogue":
            cue = _read_dialogue(fields, rest, number)
            # Outlines and shadows are drawn by the same text in several layers.
            if cue.text and cue.end_ms > cue.start_ms and cue not in known:
                known.add(cue)
                yield cue
    if not any(line.strip().lower() == "[events]" for line in lines):
        raise InvalidSubtitles(1, "an Advanced SubStation file needs a section [Events]")


def _read_dialogue(fields: list[str], rest: str, line: int) -> Cue:
    values = dict(zip(fields, rest.split(",", max(0, len(fields) - 1)), strict=False))
    if not {"start", "end", "text"} <= values.keys():
        raise InvalidSubtitles(line, "a Dialogue line needs Start, End and Text as its Format line says")
    start_ms, end_ms = (_parse_time(values[edge], line) for edge in ("start", "end"))
    if end_ms < start_ms:
        raise InvalidSubtitles(line, "the subtitle ends before it begins")
    text = re.sub(r"\\[Nn]", "\n", "".join(_list_shown(values["text"]))).replace("\\h", " ")
    return Cue(start_ms, end_ms, clean_text(text, line))


def _list_shown(text: str) -> Iterator[str]:
    """Yield the parts of a text outside of override blocks, and none that are drawing commands."""
    is_drawing, at = False, 0
    while (start := text.find("{", at)) >= 0 and (end := text.find("}", start)) >= 0:
        if not is_drawing:
            yield text[at:start]
        for scale in _DRAWING.findall(text, start, end):
            is_drawing = int(scale) > 0
        at = end + 1
    if not is_drawing:
        yield text[at:]


def _parse_time(text: str, line: int) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidSubtitles(line, f"the time {text.strip()[:20]!r} cannot be read")
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3])
    if minutes > 59 or seconds > 59:
        raise InvalidSubtitles(line, "minutes and seconds are at most 59")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int(match[4].ljust(3, "0"))
