"""Subtitle cues: their text as WebVTT, and what makes a file unusable."""

from __future__ import annotations

import html
import re

import msgspec

# More than fits on a screen in the smallest letters.
LIMIT_LETTERS = 4000

_VTT_TAG = re.compile(r"(</?(?:[biuc]|ruby|rt|v|lang)(?:[.\s][^<>]*)?>|<(?:\d+:)?\d\d:\d\d\.\d{3}>)")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")  # without { inside: linear
_SPECIAL = re.compile(r"[<&>{]")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")


class InvalidSubtitles(ValueError):
    """The file cannot be used; `line` counts from 1 and is None where it is no single line's fault."""

    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what

    def __str__(self) -> str:
        return self.what if self.line is None else f"line {self.line}: {self.what}"


class Cue(msgspec.Struct, frozen=True, gc=False):
    """A text and the time it is shown."""

    start_ms: int
    end_ms: int
    text: str
    settings: str = ""


def clean_text(text: str, line: int) -> str:
    """Keep the tags of WebVTT, drop other markup and escape special characters. Raises InvalidSubtitles."""
    if _SPECIAL.search(text):
        pieces = _VTT_TAG.split(text)  # text, tag, text, tag, …, text
        pieces[::2] = map(_escape, pieces[::2])
        text = "".join(pieces)
        if not "".join(pieces[::2]).strip():
            return ""
    text = "\n".join(filter(None, map(str.strip, text.split("\n"))))
    if len(text) > LIMIT_LETTERS:
        raise InvalidSubtitles(line, f"a subtitle of {len(text):,} letters cannot be shown: {LIMIT_LETTERS:,} can")
    return text


def _escape(text: str) -> str:
    if not _SPECIAL.search(text):
        return text
    text = _REFERENCE.sub(lambda found: html.unescape(found[0]), _MARKUP.sub("", text)).replace("\r", "\n")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("-->", "--&gt;")
