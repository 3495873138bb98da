"""Judged queries by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Final, TypeAlias

from matinee.lab.catalogue import GeneratedTitle
from matinee.lab.search.evaluation import PERSON, JudgedQuery
from matinee.lab.search.index import NameIndex
from matinee.lab.search.people_queries import make_episode, make_person, make_person_and_genre
from matinee.lab.search.script_queries import make_cross_script, make_dubbed, make_wrong_layout
from matinee.lab.search.spelling_queries import (
    make_misspelled_once,
    make_misspelled_prefix,
    make_misspelled_twice,
    make_phonetic,
)
from matinee.lab.search.title_queries import (
    make_exact,
    make_genre,
    make_joined_or_split,
    make_language_and_genre,
    make_nonsense,
    make_numerals,
    make_plain,
    make_prefix,
)

# Makes a query, or None where the drawn title is not suitable.
Make: TypeAlias = Callable[[NameIndex, Random], JudgedQuery | None]

# The classes with their share of the queries, in percent.
CLASSES: Final[dict[str, tuple[float, Make]]] = {
    "exact": (9, make_exact),
    "prefix": (8, make_prefix),
    "prefix-typo": (8, make_misspelled_prefix),
    "one-typo": (12, make_misspelled_once),
    "two-typos": (8, make_misspelled_twice),
    "phonetic": (5, make_phonetic),
    "joined-split": (6, make_joined_or_split),
    "article-accent": (6, make_plain),
    PERSON: (8, make_person),
    "person-genre": (3, make_person_and_genre),
    "episode": (5, make_episode),
    "cross-script": (10, make_cross_script),
    "wrong-layout": (2.5, make_wrong_layout),
    "dubbed-language": (3, make_dubbed),
    "genre": (1.5, make_genre),
    "language-genre": (1, make_language_and_genre),
    "numerals": (2, make_numerals),
    "nonsense": (2, make_nonsense),
}
_TRIES = 40


def generate_queries(titles: Iterable[GeneratedTitle], count: int, seed: int) -> list[JudgedQuery]:
    """Generate queries for the titles of a generated catalogue; the same for the same titles, count and seed.

    A class has fewer queries than its share where the catalogue has too few suitable names.
    """
    index = NameIndex(titles)
    queries: list[JudgedQuery] = []
    for name, (share, make) in CLASSES.items():
        rng = Random(f"{name}/{seed}")  # noqa: S311 - not for security
        queries += _fill(index, make, max(1, round(count * share / 100)), rng)
    return queries


def _fill(index: NameIndex, make: Make, count: int, rng: Random) -> list[JudgedQuery]:
    """Make different queries of a class."""
    made: dict[tuple[str, str], JudgedQuery] = {}
    for _ in range(count * _TRIES):
        if len(made) == count:
            break
        if query := make(index, rng):
            made.setdefault((query.text, query.language), query)
    return list(made.values())
