"""How names are formed in each language of the generated catalogue, read from `catalogue_names.toml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

_PATH = Path(__file__).parents[1] / "data" / "catalogue_names.toml"
_SLOT = re.compile(r"(\{[a-z]\})")

Style: TypeAlias = Literal["title", "sentence", "plain"]


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language of the catalogue. `catalogue_names.toml` explains the fields."""

    share: float
    known: float
    countries: list[str]
    word: str
    style: Style
    digits: list[str]
    season: str
    forms: list[str]
    symbols: list[str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    skip: list[str]
    en: Language
    de: Language
    fr: Language
    es: Language
    tr: Language
    ru: Language
    ja: Language
    ko: Language
    zh: Language
    ar: Language


_FILE = msgspec.toml.decode(_PATH.read_bytes(), type=_File)
LANGUAGES: Final[dict[str, Language]] = {
    tag: getattr(_FILE, tag) for tag in ("en", "de", "fr", "es", "tr", "ru", "ja", "ko", "zh", "ar")
}
LATIN: Final = ("en", "de", "fr", "es", "tr")
SKIP: Final = tuple(_FILE.skip)


def parse_forms(language: Language) -> tuple[list[list[str]], list[float]]:
    """Return the forms of names of a language, each as its literals and slots in turn, and their weights."""
    weights, forms = [], []
    for line in language.forms:
        weight, _, form = line.partition(" ")
        weights.append(float(weight))
        forms.append([part for part in _SLOT.split(form) if part])
    return forms, weights
