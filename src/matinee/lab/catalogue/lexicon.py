"""Words and names of real languages: the material of generated names."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import msgspec

from matinee.lab.catalogue.forms import LANGUAGES, LATIN, SKIP

# The most frequent words are mostly pronouns, articles and auxiliary verbs.
_FIRST, _LAST = 150, 24_000
_FOREIGN = 6_000
_LOCALES: Final = {
    "en": ("en_US", "en_GB"),
    "de": ("de_DE",),
    "fr": ("fr_FR",),
    "es": ("es_ES", "es_MX"),
    "tr": ("tr_TR",),
    "ru": ("ru_RU",),
    "ja": ("ja_JP",),
    "ko": ("ko_KR",),
    "zh": ("zh_CN",),
    "ar": ("ar_SA",),
}


class PersonNames(msgspec.Struct, frozen=True, kw_only=True):
    """First names and surnames of a language, each with its Latin form, "" where it is not known."""

    first: list[tuple[str, str]]
    last: list[tuple[str, str]]


@functools.cache
def list_words(language: str) -> list[str]:
    """List words of a language that are suitable as parts of names, the most frequent first."""
    from wordfreq import top_n_list

    suits = re.compile(LANGUAGES[language].word).fullmatch
    english = frozenset(top_n_list("en", _FOREIGN, wordlist="small")) if language in LATIN[1:] else frozenset()
    return [
        word
        for word in top_n_list(language, _LAST, wordlist="small")[_FIRST:]
        if suits(word) and word not in english and not word.startswith(SKIP)
    ]


@functools.cache
def list_person_names(language: str) -> PersonNames:
    """List first names and surnames of a language."""
    from faker import Faker
    from faker.providers.person import Provider

    first: dict[tuple[str, str], None] = {}
    last: dict[tuple[str, str], None] = {}
    for locale in _LOCALES[language]:
        names: Any = next(p for p in Faker(locale).factories[0].get_providers() if isinstance(p, Provider))
        first.update(dict.fromkeys(_pair(names, "first_name")))
        last.update(dict.fromkeys(_pair(names, "last_name")))
    return PersonNames(first=list(first), last=list(last))


def _pair(names: Any, field: str) -> list[tuple[str, str]]:
    if pairs := getattr(names, f"{field}_pairs", None):
        return [(native, latin) for native, _, latin in pairs]
    return [(name, "") for name in getattr(names, f"{field}s")]
