"""Detection of the character set of a text that is not UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter

from matinee.encoding.model.letters import is_written, list_charsets, score_word

# What is examined of a text: enough for any language, and a bounded time.
_SAMPLE_BYTES = 8_000
# How much more likely the chosen reading must be than every other one, as a logarithm.
_SURE = 6.0
# What the language of the track adds: it is usually right.
_HINT = 6.0
# Few texts are in other sets than those of Windows.
_RARE = -3.0
_RARE_SETS = ("cp850", "cp852", "cp866", "mac_roman", "koi8-r", "koi8-u", "iso8859-5")
# The least average for a character beyond ASCII; below it, no reading is text.
_PLAUSIBLE = -7.5
_MAX_SYMBOLS = 0.1
# Lines mostly begin with a capital; where the set is wrong, small letters and capitals can be exchanged.
_SMALL_START = -3.0
_FIRST = re.compile(r"^[^\w\n]*(\w)", re.MULTILINE)
_MARKUP = re.compile(rb"<[^<>\n]*>|\{[^{}\n]*\}")
_WORD = re.compile(r"[^\x00-@\[-`{-\x7f\xa0\u3000]+")
_CONTROL = re.compile(r"[\x80-\x9f\ue000-\uf8ff\ufffd]")
_NAMES = {
    "cp932": "Shift_JIS",
    "cp949": "EUC-KR",
    "cp950": "Big5",
    "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP",
    "mac_roman": "Mac Roman",
}
_SAME_LETTERS = {"no": "da", "nb": "da", "nn": "da", "bs": "hr", "sh": "hr"}


class UndecodableText(ValueError):
    """A file is no text, or its character set is not sure; `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(line, what)
        self.line = line
        self.what = what


def decode_text(data: bytes, language: str = "und") -> tuple[str, str]:
    """Return a text and the name of its character set, which is empty for Unicode with its marks.

    `language` is the language that the text probably has (BCP 47). Raises UndecodableText.
    """
    if charset := _detect_by_form(data):
        text = data.decode(charset)
        if "\0" in text:
            raise UndecodableText(text[: text.index("\0")].count("\n") + 1, "this is not text")
        return text, "" if charset == "utf-16" else format_charset(charset)
    data = _drop_zeros(data)
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
    if _is_damaged(data):
        raise UndecodableText(line, "a character is damaged; save the file as UTF-8")
    if charset := _detect_by_letters(data, language):
        return data.decode(charset), format_charset(charset)
    what = "this is not UTF-8 text, and it is not sure what else it is; save the file as UTF-8"
    raise UndecodableText(line, what)


def _detect_by_form(data: bytes) -> str | None:
    """Return a set that is known by its marks, zero bytes or escape sequences."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        if not _decodes(data, "utf-16"):
            raise UndecodableText(1, "this is not UTF-16 text as its first character says; save the file as UTF-8")
        return "utf-16"
    if b"\x1b$" in data and _decodes(data, "iso2022_jp"):
        return "iso2022_jp"
    # UTF-16 without its mark: line ends and times are ASCII, which has one zero byte in two.
    pairs = len(data) // 2
    zeros = [data[side : pairs * 2 : 2].count(0) for side in (0, 1)]
    for side, charset in ((1, "utf-16-le"), (0, "utf-16-be")):
        if zeros[side] > pairs // 4 and not zeros[1 - side] and _decodes(data, charset):
            return charset
    return None


def _drop_zeros(data: bytes) -> bytes:
    """Drop the zero bytes at the ends of lines, which some programs write. Raises UndecodableText for others."""
    if b"\0" not in data:
        return data
    lines = [line.rstrip(b"\r").rstrip(b"\0") for line in data.split(b"\n")]
    if found := next((n for n, line in enumerate(lines, 1) if b"\0" in line), None):
        raise UndecodableText(found, "this is not text")
    return b"\n".join(lines)


def _is_damaged(data: bytes) -> bool:
    """Return whether a text is UTF-8 with some invalid bytes; other sets rarely have valid sequences."""
    text = data.decode(errors="replace")
    damaged = text.count("\ufffd")
    return sum(letter > "\x7f" for letter in text) >= 2 * damaged


def _detect_by_letters(data: bytes, language: str) -> str | None:
    """Return the set in which a text reads most like a language, or None where it is not sure."""
    hint = _SAME_LETTERS.get(main := language.partition("-")[0].lower(), main)
    readings: dict[str, tuple[float, str]] = {}
    sample = _sample(data)
    for charset in dict.fromkeys(charset for charset, _ in list_charsets()):
        if (text := _decode(sample, charset)) is not None:
            score = max(_score(text, charset, hint))
            readings[text] = max(readings.get(text, (score, charset)), (score, charset), key=itemgetter(0))
    return _choose(data, readings)


def _choose(data: bytes, readings: dict[str, tuple[float, str]]) -> str | None:
    """Choose the most likely reading of which no other is nearly as likely, if it looks like a language."""
    ranked = sorted(((score, charset, text) for text, (score, charset) in readings.items()), reverse=True)
    while ranked:
        best, charset, text = ranked.pop(0)
        if _decodes(data, charset):
            is_sure = not ranked or best - ranked[0][0] >= _SURE
            return charset if is_sure and _is_plausible(text, best) else None
    return None


def _is_plausible(text: str, score: float) -> bool:
    letters = sum(map(len, _find_words(text)))
    others = [letter for letter in text if letter > "\x7f"]
    symbols = sum(not is_written(letter) for letter in others)
    return letters > 0 and score / letters >= _PLAUSIBLE and symbols <= len(others) * _MAX_SYMBOLS


def format_charset(charset: str) -> str:
    """Return the usual name of a Python codec: `windows-1251` for `cp1251`."""
    if charset in _NAMES:
        return _NAMES[charset]
    if charset.startswith("cp"):
        return f"{'windows' if charset.startswith('cp125') else 'cp'}-{charset[2:]}"
    return charset.upper().replace("ISO8859", "ISO-8859")


def _sample(data: bytes) -> bytes:
    """Return lines with bytes beyond ASCII, each once and without markup."""
    lines: dict[bytes, None] = {}
    size = 0
    for line in data.splitlines():
        if not line.isascii() and line not in lines and size + len(line) <= _SAMPLE_BYTES:
            lines[_MARKUP.sub(b"", line)] = None
            size += len(line)
    return b"\n".join(lines)


def _decode(data: bytes, charset: str) -> str | None:
    try:
        text = data.decode(charset)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _decodes(data: bytes, charset: str) -> bool:
    return _decode(data, charset) is not None


def _score(text: str, charset: str, hint: str) -> Iterator[float]:
    """Yield, for each language of a character set, how likely the text is."""
    words = _find_words(text)
    bias = _RARE if charset in _RARE_SETS else 0.0
    bias += _SMALL_START * sum(letter.islower() and letter > "\x7f" for letter in _FIRST.findall(text))
    for other, language in list_charsets():
        if other == charset:
            likely = sum(score_word(word, language, charset) for word in words)
            yield likely + bias + (_HINT if language == hint else 0.0)


def _find_words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text) if not word.isascii()}
