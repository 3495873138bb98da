"""Japanese: one key for kanji, hiragana, katakana and the systems of romaji.

The key is Kunrei-shiki romaji (ISO 3602) without long vowels: Hepburn, Kunrei, wapuro and kana of one word have the
same key. Readings of kanji come from the dictionaries of Sudachi and pykakasi, loaded when the first such name is
indexed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from jaconv import kana2alphabet, kata2hira

_KANA = re.compile(r"[ぁ-ゖァ-ヺーｦ-ﾟ\d\s\W]+")
_HAS_KANA = re.compile(r"[ぁ-ゖァ-ヺｦ-ﾝ]")
_IS_IDEOGRAPH = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff々〆]")
_TO_KUNREI = (
    ("tch", "cch"),
    ("sh", "sy"),
    ("ch", "ty"),
    ("tsu", "tu"),
    ("dzu", "zu"),
    ("du", "zu"),
    ("di", "zi"),
    ("j", "zy"),
    ("yy", "y"),
    ("yi", "i"),
    ("ye", "e"),
    ("f", "h"),
    ("v", "b"),
    ("l", "r"),
    ("wo", "o"),
    ("c", "t"),
    ("mb", "nb"),
    ("mp", "np"),
    ("mm", "nm"),
)
# Sounds that only loan words have, which jaconv reads as two syllables.
_FOREIGN_SOUNDS = {
    "てぃ": "ti",
    "でぃ": "di",
    "でゅ": "du",
    "とぅ": "tu",
    "どぅ": "du",
    "うぃ": "wi",
    "うぇ": "we",
    "うぉ": "wo",
    "つぁ": "tsa",
    "つぃ": "tsi",
    "つぇ": "tse",
    "つぉ": "tso",
}
_PARTICLE = "助詞"
# Particles that are not read as they are written.
_PARTICLES = {"ハ": "ワ", "ヘ": "エ"}
_LONG_VOWEL = re.compile(r"ou|oo|ō|uu|ū|aa|ā|ii|ī|ee|ē|ei")
_SHORT = {"ou": "o", "oo": "o", "uu": "u", "aa": "a", "ii": "i", "ee": "e", "ei": "e"}
_SYLLABLE = r"(?:(?:[kgsztdnhbpmrwyjfvcl]|sh|ch|ts|[kgnhbpmrszt]y|j)?[aiueo]|n)"
_IS_ROMAJI = re.compile(rf"(?:{_SYLLABLE}|([ksthpgzdbcjrf])(?=\1)|t(?=ch)|m(?=[bp])|\d|\s)+$")


def has_kana(text: str) -> bool:
    """Return whether a text has a letter that only Japanese uses."""
    return bool(_HAS_KANA.search(text))


def has_ideograph(text: str) -> bool:
    """Return whether a text has a Chinese character."""
    return bool(_IS_IDEOGRAPH.search(text))


def make_key(text: str) -> str | None:
    """Return the key of kana or romaji, with its spaces; None for a text that is neither."""
    text = unicodedata.normalize("NFKC", text).casefold()
    if _HAS_KANA.search(text):
        if not _KANA.fullmatch(text):
            return None
        return romaji_to_key(_kana_to_romaji(text))
    return romaji_to_key(text) if is_romaji(text) else None


def is_romaji(folded: str) -> bool:
    """Return whether a Latin text can be Japanese: it has only syllables of Japanese."""
    return bool(_IS_ROMAJI.match(folded))


@lru_cache(maxsize=4096)
def split_words(text: str) -> str:
    """Return a Japanese text with spaces between its words."""
    return " ".join(word.surface() for word in _open_sudachi().tokenize(text))


@lru_cache(maxsize=4096)
def read_name(text: str) -> tuple[str, ...]:
    """Return the keys of a Japanese name: by the readings of its words in each of two dictionaries.

    Many names have more than one reading, and neither dictionary knows all of them.
    """
    text = unicodedata.normalize("NFKC", text)
    if not has_ideograph(text):
        return (romaji_to_key(_kana_to_romaji(text)),)
    words = [(word.reading_form(), word.part_of_speech()[0]) for word in _open_sudachi().tokenize(text)]
    readings = (
        [reading for reading, _ in words],
        [_PARTICLES.get(reading, reading) if kind == _PARTICLE else reading for reading, kind in words],
        [part["hira"] for part in _open_kakasi().convert(text)],
    )
    return tuple(dict.fromkeys(romaji_to_key(" ".join(map(_kana_to_romaji, reading))) for reading in readings))


def romaji_to_key(romaji: str) -> str:
    """Return the key of romaji in any system."""
    text = romaji.casefold().replace("'", "").replace("-", "")
    for hepburn, kunrei in _TO_KUNREI:
        text = text.replace(hepburn, kunrei)
    text = text.replace("zyi", "zi").replace("syi", "si").replace("tyi", "ti")
    words = re.sub(r"[^a-z0-9]+", " ", text).split()
    return " ".join(_LONG_VOWEL.sub(lambda vowel: _SHORT[vowel[0]], word) for word in words)


def _kana_to_romaji(text: str) -> str:
    kana = kata2hira(text)
    for written, romaji in _FOREIGN_SOUNDS.items():
        kana = kana.replace(written, romaji)
    return str(kana2alphabet(kana))


@lru_cache(maxsize=1)
def _open_sudachi() -> Any:
    from sudachipy import Dictionary, SplitMode

    return Dictionary(dict="small").tokenizer(mode=SplitMode.A)


@lru_cache(maxsize=1)
def _open_kakasi() -> Any:
    from pykakasi import kakasi

    return kakasi()  # type: ignore[no-untyped-call]  # pykakasi has no types
