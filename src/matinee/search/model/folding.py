"""Folding: one spelling for all spellings of a text that a viewer would call the same.

Case, accents, width, punctuation and marks that are optional in a script do not matter (UAX #15, UTR #30). Letters stay
in their script; `forms` adds transliterations.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LENGTH_LIMIT = 200
# So many forms are kept in memory with what was made of them: those of the most popular names occur in most searches.
FORMS = 32_768
# More than the names of a catalogue have; all that can be typed would take 90 MB.
_KEPT_LETTERS = 32_768
_ARTICLES = "the a an der die das ein eine le la les l un une des el los las una il lo gli i o os as al"
ARTICLES = frozenset(_ARTICLES.split())
# Letters that do not decompose into a letter and a mark.
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "ı": "i",
        "ħ": "h",
        "ŋ": "n",
        "&": " and ",
        # Arabic: forms of alef, final ya and ta marbuta, which are written in more than one way.
        "أ": "ا",
        "إ": "ا",
        "آ": "ا",
        "ٱ": "ا",
        "ى": "ي",
        "ة": "ه",
        "ـ": "",
        # Persian and Urdu forms of Arabic letters.
        "ی": "ي",
        "ک": "ك",
        # Hebrew: final forms.
        "ך": "כ",
        "ם": "מ",
        "ן": "נ",
        "ף": "פ",
        "ץ": "צ",
        "ς": "σ",
        # The long vowel mark of katakana counts as punctuation; `japanese` reads it before.
        "ー": "",
        # Ideographs that names of people and places are written with in more than one way.
        "﨑": "崎",
        "髙": "高",
        "𠮷": "吉",
        "邊": "辺",
        "邉": "辺",
        "齋": "斎",
        "齊": "斉",
        "澤": "沢",
        "濱": "浜",
        "廣": "広",
    }
)
# An article or a pronoun before an apostrophe is a word of its own: `L'Avventura`.
_ELISION = re.compile(r"\b([a-z]|qu)['’ʼ`´](?=\w)")
# Between letters, these join: `Schindler's`, `WALL·E`, `M*A*S*H`, `S.W.A.T.`.
_JOINERS = re.compile(r"(?<=\w)['’ʼ`´·•∙*.](?=\w)")
_NUMBERS = re.compile(r"\d \d")
_WORD_SPACE = re.compile(r"(?<!\d) | (?!\d)")
# Written with a space, which people type.
_FRACTIONS = str.maketrans({"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4"})
# Chinese, Thai, Lao, Burmese and Khmer.
_UNSPACED = re.compile(r"[\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_KATAKANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
# Marks that make another letter of kana.
_VOICING = "\u3099\u309a"


_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏ ㅐ ㅑ ㅒ ㅓ ㅔ ㅕ ㅖ ㅗ ㅗㅏ ㅗㅐ ㅗㅣ ㅛ ㅜ ㅜㅓ ㅜㅔ ㅜㅣ ㅠ ㅡ ㅡㅣ ㅣ"
_FINALS = "ㄱ ㄲ ㄱㅅ ㄴ ㄴㅈ ㄴㅎ ㄷ ㄹ ㄹㄱ ㄹㅁ ㄹㅂ ㄹㅅ ㄹㅌ ㄹㅍ ㄹㅎ ㅁ ㅂ ㅂㅅ ㅅ ㅆ ㅇ ㅈ ㅊ ㅋ ㅌ ㅍ ㅎ"
# Decomposed Hangul as the keys by which it is typed: an initial and a final consonant are the same key.
_HANGUL_KEYS = (
    dict(zip(range(0x1100, 0x1113), _INITIALS, strict=True))
    | dict(zip(range(0x1161, 0x1176), _VOWELS.split(), strict=True))
    | dict(zip(range(0x11A8, 0x11C3), _FINALS.split(), strict=True))
)


class _Separators(dict[int, str]):
    """Replaces each letter that is part of no word by a space."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kept = letter if unicodedata.category(letter)[0] in "LNM" else " "
        if len(self) < _KEPT_LETTERS:
            self[code] = kept
        return kept


_SEPARATORS = _Separators()


@lru_cache(maxsize=8192)
def fold(text: str) -> str:
    """Return the words of a text in their folded spelling, separated by single spaces.

    Katakana becomes hiragana. Hangul is decomposed into the keys by which it is typed, so that an unfinished syllable
    is a prefix.
    """
    # One letter becomes as many as 18: without the second limit a query could take a hundred times the time of others.
    text = unicodedata.normalize("NFKC", text[:LENGTH_LIMIT].translate(_FRACTIONS))[:LENGTH_LIMIT].casefold()
    if text.isascii():
        text = _JOINERS.sub("", _ELISION.sub(r"\1 ", text)).replace("&", " and ")
        return " ".join(text.translate(_SEPARATORS).split())
    text = _JOINERS.sub("", _ELISION.sub(r"\1 ", text)).translate(_LETTERS)
    text = unicodedata.normalize("NFKD", text.translate(_KATAKANA))
    text = "".join(letter for letter in text if letter in _VOICING or not unicodedata.combining(letter))
    # Kana are composed again. Hangul syllables were decomposed by NFKD, and are not composed from keys.
    text = unicodedata.normalize("NFC", text.translate(_HANGUL_KEYS))
    return " ".join(text.translate(_SEPARATORS).split())


@lru_cache(maxsize=FORMS)
def join(folded: str) -> str:
    """Return a folded text without spaces, so that joined and split words are the same; numbers stay apart."""
    if has_adjacent_numbers(folded):
        return _WORD_SPACE.sub("", folded)
    return folded.replace(" ", "")


def has_adjacent_numbers(folded: str) -> bool:
    """Return whether two words of a folded text are numbers that must stay apart."""
    return bool(_NUMBERS.search(folded))


def list_rests(folded: str) -> list[str]:
    """Return the joined letters of a folded text from each of its words on.

    Scripts without spaces between words have a word at each letter.
    """
    words = folded.split()
    if not folded.isascii():
        words = [part for word in words for part in (word if _UNSPACED.match(word) else [word])]
    return [join(" ".join(words[place:])) for place in range(len(words))]


def drop_article(folded: str) -> str:
    """Return a folded text without a leading article, unless only that was typed."""
    article, _, rest = folded.partition(" ")
    return rest if rest and article in ARTICLES else folded


def is_latin(folded: str) -> bool:
    """Return whether all letters of a folded text are those of English, which transliterations use."""
    return folded.isascii()
