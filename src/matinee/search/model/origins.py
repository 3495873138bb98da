"""The words for a country and a language in the languages of search: names, and adjectives made of them.

Names are those of CLDR. Adjectives are indexed in the forms in which they are typed (`koreanischer Krimi`), so that a
query is read without rules of any language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from matinee.search.model.folding import fold

_PATH: Final = Path(__file__).parents[1] / "data" / "origins.toml"
_LANGUAGES: Final = ("en", "de", "fr", "es", "tr", "ru", "ar", "ja", "zh", "ko")
_ADJECTIVE_LETTERS: Final = 5
_UNKNOWN_COUNTRY: Final = "ZZ"
_NO_LANGUAGES: Final = frozenset({"mis", "mul", "und", "zxx"})


class _Origins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    languages: dict[str, str]
    adjectives: dict[str, dict[str, str]]


@cache
def list_country_words(country: str) -> tuple[str, ...]:
    """Return the folded words for a country (ISO 3166-1 alpha-2) and for what comes from there, each once."""
    if country == _UNKNOWN_COUNTRY:
        return ()
    origins, texts = _load(), []
    for language in _LANGUAGES:
        texts.append(_load_names(language)[0].get(country, ""))
        for word in origins.adjectives.get(country, {}).get(language, "").split():
            texts += _inflect(word, language)
    own = origins.languages.get(country)
    return _fold_words(texts, list_language_words(own) if own else ())


@cache
def list_language_words(language: str) -> tuple[str, ...]:
    """Return the folded words for a language (BCP 47), and adjectives made of its name, each once."""
    primary = language.partition("-")[0].lower()
    if primary in _NO_LANGUAGES:
        return ()
    names = [(tag, _load_names(tag)[1].get(primary, "")) for tag in _LANGUAGES]
    return _fold_words([text for tag, name in names for text in _inflect(name, tag)])


def is_origin(word: str) -> bool:
    """Return whether a folded word is an adjective that says where titles are from, such as `korean`."""
    # Shorter Latin words begin, or are, many other words (`neo`, `fin`).
    return (len(word) >= _ADJECTIVE_LETTERS or not word.isascii()) and word in _list_adjectives()


@cache
def _list_adjectives() -> frozenset[str]:
    """Return the adjectives of countries, and of the languages that are spoken there.

    The names of countries are not among them: many are those of people (`Jordan`).
    """
    origins = _load()
    words = [word for language in origins.languages.values() for word in list_language_words(language)]
    for adjectives in origins.adjectives.values():
        for language, texts in adjectives.items():
            words += _fold_words(form for text in texts.split() for form in _inflect(text, language))
    return frozenset(words)


@cache
def _load() -> _Origins:
    return msgspec.toml.decode(_PATH.read_bytes(), type=_Origins)


@cache
def _load_names(language: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of countries and of languages in a language."""
    from babel import Locale  # loaded only when it is used

    locale = Locale(language)
    return dict(locale.territories), dict(locale.languages)


def _fold_words(texts: Iterable[str], others: Iterable[str] = ()) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(word for text in texts for word in fold(text).split()), *others]))


def _inflect(adjective: str, language: str) -> Iterator[str]:
    """Yield an adjective, or the name of a language that is one, and its other forms in a language.

    A noun, which French, Spanish and Russian write with a capital, has no others.
    """
    yield adjective
    endings: tuple[str, ...] = ()
    stem = word = adjective.lower()
    match language:
        case "fr" | "es" | "ru" if word != adjective:
            pass
        case "de" if word.endswith("sch"):
            endings = ("e", "em", "en", "er", "es")
        case "fr" if word.endswith("c"):
            stem, endings = word[:-1], ("que", "ques", "cs")
        case "fr" if word.endswith("e"):
            endings = ("s",)
        case "fr":
            endings = (
                ("ne", "nes", "s") if word.endswith("en") else ("e", "es") if word.endswith("s") else ("e", "es", "s")
            )
        case "es" if word.endswith("o"):
            stem, endings = word[:-1], ("a", "os", "as")
        case "es":
            endings = ("s",) if word.endswith(("a", "e")) else ("a", "es", "as")
        case "tr" if word.endswith(("ca", "ce", "ça", "çe")):
            stem, endings = word[:-2], ("",)
        case "ru" if word.endswith("ий"):
            stem, endings = word[:-2], ("ая", "ое", "ие", "ого", "их")
        case "ar" if word.endswith(("ي", "ة")):
            # The name of a language is feminine and has an article.
            stem, endings = word.removeprefix("ال").removesuffix("ة"), ("", "ة")
        case "ja" | "ko" if len(word) > 2 and word.endswith(("語", "어")):
            stem, endings = word[:-1], ("",)
        case _:
            pass
    yield from (stem + ending for ending in endings)
