"""Text from outside, made safe to show."""

from __future__ import annotations

import unicodedata
from typing import Final

# What ends a line, is obeyed by a terminal, or is no character: controls, lone surrogates, separators of lines.
_UNSAFE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What changes the direction of the text after it (UAX #9 §2): a line can be made to read as another one.
_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def replace_controls(text: str) -> str:
    """Return a text on one line, with U+FFFD for each character that a terminal or a reader would obey."""
    return "".join("\ufffd" if is_unsafe(letter) else letter for letter in text)


def is_unsafe(letter: str) -> bool:
    """Return whether a character is a control, a separator of lines, a lone surrogate, or overrides the direction."""
    return letter in _DIRECTIONS or unicodedata.category(letter) in _UNSAFE
