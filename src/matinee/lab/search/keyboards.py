"""Keyboards: which keys are neighbours, and what a text becomes when another layout is active."""

from __future__ import annotations

import unicodedata
from typing import Final

_QWERTY: Final = ("qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,.")
_QWERTZ: Final = ("qwertzuiopü", "asdfghjklöä", "yxcvbnm")
_AZERTY: Final = ("azertyuiop", "qsdfghjklm", "wxcvbn")
_RUSSIAN: Final = ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю")
_TURKISH: Final = ("qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç")
_LAYOUTS: Final = {"de": _QWERTZ, "fr": _AZERTY, "ru": _RUSSIAN, "tr": _TURKISH}

_FROM_RUSSIAN: Final = str.maketrans("".join(_RUSSIAN), "".join(_QWERTY))
_TO_RUSSIAN: Final = str.maketrans("".join(_QWERTY), "".join(_RUSSIAN))
# The keys of the Korean layout, in the order of the jamo of Unicode: initials, vowels, finals. `_` is no key.
_INITIAL_KEYS: Final = tuple("rRseEfaqQtTdwWczxvg")
_VOWEL_KEYS: Final = tuple("k o i O j p u P h hk ho hl y n nj np nl b m ml l".replace("_", "").split(" "))
_FINAL_KEYS: Final = tuple(
    "_ r R rt s sw sg e f fr fa fq ft fx fv fg a q qt t T d w c z x v g".replace("_", "").split(" ")
)


def find_neighbours(letter: str, language: str) -> str:
    """Return the letters on the keys next to that of a letter, on the keyboard that a language uses."""
    rows = _LAYOUTS.get(language, _QWERTY)
    for y, row in enumerate(rows):
        if (x := row.find(letter)) >= 0:
            near = row[max(0, x - 1) : x] + row[x + 1 : x + 2]
            near += "".join(rows[y - 1][x : x + 2] if y else "")
            near += rows[y + 1][max(0, x - 1) : x + 1] if y + 1 < len(rows) else ""
            return "".join(key for key in near if key.isalpha())
    return ""


def type_russian_on_english(text: str) -> str:
    """Return what appears for a Russian text while the English layout is active: `привет` becomes `ghbdtn`."""
    return text.lower().replace("ё", "`").translate(_FROM_RUSSIAN)


def type_english_on_russian(text: str) -> str:
    """Return what appears for an English text while the Russian layout is active: `hello` becomes `руддщ`."""
    return text.lower().translate(_TO_RUSSIAN)


def type_korean_on_english(text: str) -> str:
    """Return what appears for a Korean text while the English layout is active: `한글` becomes `gksrmf`."""
    return "".join("".join(_find_keys(letter)) for letter in text)


def _find_keys(letter: str) -> tuple[str, ...]:
    index = ord(letter) - 0xAC00
    if not 0 <= index < 11_172:
        return (letter,)
    initial, rest = divmod(index, 588)
    return _INITIAL_KEYS[initial], _VOWEL_KEYS[rest // 28], _FINAL_KEYS[rest % 28]


_JAMO_KEYS: Final = {
    chr(start + n): keys
    for start, row in ((0x1100, _INITIAL_KEYS), (0x1161, _VOWEL_KEYS), (0x11A7, _FINAL_KEYS))
    for n, keys in enumerate(row)
}


def spell_jamo(text: str) -> str:
    """Return the strokes with which a Korean text is typed; those of an unfinished syllable are a prefix of them."""
    return "".join(_JAMO_KEYS.get(part, part) for part in unicodedata.normalize("NFD", text))
