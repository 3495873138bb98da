"""Forms of names in which they are compared for judging."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670]")
_INSIDE = re.compile(r"[*.·'’]")
_OUTSIDE = re.compile(r"[\W_]+")
_LATIN_OR_CYRILLIC = re.compile(r"[a-zа-яё]", re.IGNORECASE)


def remove_accents(text: str) -> str:
    """Return a text without accents; the voicing marks of kana stay."""
    plain = _MARKS.sub("", unicodedata.normalize("NFD", text.replace("ı", "i")))
    return unicodedata.normalize("NFC", plain)


def fold(text: str) -> str:
    """Return a text case-folded, without accents and punctuation, its words separated by one space."""
    text = remove_accents(unicodedata.normalize("NFKC", text).replace("İ", "i").casefold())
    return _OUTSIDE.sub(" ", _INSIDE.sub("", text)).strip()


def make_key(text: str) -> str:
    """Return the key of a text: two names with the same key differ in case, accents, spaces and punctuation only."""
    return fold(text).replace(" ", "")


def is_alphabetic(text: str) -> bool:
    """Return whether most letters of a text are Latin or Cyrillic."""
    letters = sum(map(str.isalpha, text))
    return letters > 0 and len(_LATIN_OR_CYRILLIC.findall(remove_accents(text))) >= 0.8 * letters
