"""Initials: where a viewer who browses by letters expects a name, and in which order names are listed.

A name is listed by its folded letters without its article: accents do not matter. Names in kanji and kana are listed by
their reading, in the rows of the table of kana; Chinese names by their pinyin; Hangul by the first consonant, where a
double consonant counts as the single one. Everything that does not begin with a letter is under `OTHERS`. Names are
ordered by code point, which is the order of the alphabet in each of these scripts.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

from jaconv import alphabet2kana

from matinee.catalogue.api import Title, choose_text
from matinee.search.model import japanese
from matinee.search.model.folding import fold
from matinee.search.model.forms import transliterate

# Viewers of these languages browse by the names that they are shown, others by those that `DEFAULT` is shown.
LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "tr", "ru", "ar", "ja", "zh", "ko")
DEFAULT: Final = "en"
OTHERS: Final = "#"
# So that a position in a list fits into a cursor.
_KEY_LETTERS: Final = 40
_ARTICLES: Final = {
    "en": "the a an",
    "de": "der die das ein eine",
    "fr": "le la les l un une",
    "es": "el la los las un una",
    "it": "il lo la i gli le l un uno una",
    "pt": "o a os as um uma",
}
_ARABIC_ARTICLE: Final = "ال"
_ROWS: Final = {
    row[0]: row
    for row in (
        "あぁいぃうぅえぇおぉゔ",
        "かがゕきぎくぐけげゖこご",
        "さざしじすずせぜそぞ",
        "ただちぢっつづてでとど",
        "なにぬねの",
        "はばぱひびぴふぶぷへべぺほぼぽ",
        "まみむめも",
        "やゃゆゅよょ",
        "らりるれろ",
        "わゎゐゑをん",
    )
}
_GROUPED: Final = {kana: row for row, members in _ROWS.items() for kana in members} | dict(
    zip("ㄲㄸㅃㅆㅉ", "ㄱㄷㅂㅅㅈ", strict=True)
)
# The scripts whose letters come first for viewers of a language, as their letters are named in Unicode.
_SCRIPTS: Final = {"ru": "CYRILLIC", "ar": "ARABIC", "ja": "HIRAGANA", "ko": "HANGUL"}


class Place(NamedTuple):
    """Where a name is listed: under an initial, by a key."""

    initial: str
    key: str


def choose_language(tag: str) -> str:
    """Return the language of `LANGUAGES` by whose names a viewer browses."""
    primary = tag.lower().partition("-")[0]
    return primary if primary in LANGUAGES else DEFAULT


def list_places(title: Title) -> dict[str, Place]:
    """Return where the name that is shown to a viewer is listed: for `DEFAULT`, and each language where it differs."""
    places: dict[str, Place] = {}
    for language in LANGUAGES:
        name = choose_text(title.names, [language], title.original_language)
        place = place_name(name, _find_language(title, name))
        if place != places.get(DEFAULT):
            places[language] = place
    return places


def place_name(name: str, language: str) -> Place:
    """Return where a name in a language is listed."""
    key = _make_key(name, language.lower().partition("-")[0])[:_KEY_LETTERS]
    first = key[:1]
    if not unicodedata.category(first or " ").startswith("L"):
        return Place(OTHERS, key)
    return Place(_GROUPED.get(first) or _capitalise(first), key)


def normalise(initial: str) -> str:
    """Return an initial as it is in the index; it may be another letter that is listed under the same one."""
    return place_name(initial, DEFAULT).initial


def sort_initials(initials: set[str], language: str) -> list[str]:
    """Return initials in the order in which a viewer expects them: those of the own script first, `OTHERS` last."""
    script = _SCRIPTS.get(language, "LATIN")
    return sorted(initials, key=lambda each: (each == OTHERS, not unicodedata.name(each, "").startswith(script), each))


def _make_key(name: str, language: str) -> str:
    if language == "ar":
        name = name.strip().removeprefix(_ARABIC_ARTICLE)
    folded = _drop_article(fold(name), language)
    first = folded[:1]
    if not japanese.has_ideograph(first):
        # Readings of names that begin with kana are spelled as those of names in kanji, without long vowels.
        return _read_japanese(name) if japanese.has_kana(first) else folded
    if language == "ja" or japanese.has_kana(name):
        return _read_japanese(name)
    return transliterate(name)


def _read_japanese(name: str) -> str:
    return str(alphabet2kana(japanese.read_name(name)[0].replace(" ", "")))


def _drop_article(folded: str, language: str) -> str:
    article, _, rest = folded.partition(" ")
    return rest if rest and article in _ARTICLES.get(language, "").split() else folded


def _capitalise(letter: str) -> str:
    capital = letter.upper()
    return capital if len(capital) == 1 else letter


def _find_language(title: Title, name: str) -> str:
    """Return the language of a name; one that is the same in several is in the original one, if that is among them."""
    languages = [language for language, text in title.names.items() if text == name]
    primary = title.original_language.lower().partition("-")[0]
    return next((each for each in languages if each.lower().partition("-")[0] == primary), next(iter(languages), ""))
