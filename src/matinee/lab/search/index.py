"""The generated catalogue by its names: which titles a query means."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Final, get_args

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from matinee.catalogue.api import Episode, Person
from matinee.kit.ids import PersonId, TitleId
from matinee.lab.catalogue import GeneratedTitle
from matinee.lab.catalogue.scripts import Romaji, romanise_cyrillic, to_pinyin, to_romaji, to_simplified
from matinee.lab.search.keyboards import spell_jamo
from matinee.lab.search.keys import fold, make_key
from matinee.lab.search.spelling import drop_article

Grades = dict[str, int]
# The number of the most popular titles of a prefix that have a grade: 3, 2 and 1.
PREFIX_RANKS: Final = (3, 10, 30)
_PREFIX_LENGTH = 48
_HAN = ("zh", "zh-Hant")


class NameIndex:
    """The titles and people of a generated catalogue by their names."""

    def __init__(self, titles: Iterable[GeneratedTitle]) -> None:
        self.titles: Final[Sequence[GeneratedTitle]] = list(titles)
        self.by_id: Final = {title.draft.title_id: title for title in self.titles}
        self._popularity = list(accumulate(title.popularity for title in self.titles))

    def draw(self, rng: Random) -> GeneratedTitle:
        """Draw a title: half of the time one that is popular."""
        if rng.random() < 0.5:
            return rng.choices(self.titles, cum_weights=self._popularity)[0]
        return rng.choice(self.titles)

    def grade(self, name: str) -> Grades:
        """Return grade 3 for each title that has a name."""
        return dict.fromkeys(self.by_key.get(make_key(name), ()), 3)

    @cached_property
    def by_key(self) -> dict[str, list[TitleId]]:
        return self._group(lambda tag, name: [make_key(name)])

    @cached_property
    def by_bare_key(self) -> dict[str, list[TitleId]]:
        """Titles by their names without an article at the start."""
        return self._group(lambda tag, name: [make_key(drop_article(name.lower(), tag))])

    @cached_property
    def by_reading(self) -> dict[str, list[TitleId]]:
        """Titles by the reading of their Japanese name in hiragana."""
        by_key = defaultdict(list)
        for title in self.titles:
            if title.reading:
                by_key[make_key(title.reading)].append(title.draft.title_id)
        return by_key

    @cached_property
    def by_romaji(self) -> dict[str, list[TitleId]]:
        """Titles by the romaji of their Japanese name in each system."""
        by_key: defaultdict[str, list[TitleId]] = defaultdict(list)
        for reading, title_ids in self.by_reading.items():
            for key in dict.fromkeys(make_key(to_romaji(reading, system)) for system in get_args(Romaji)):
                by_key[key] += title_ids
        return by_key

    @cached_property
    def by_pinyin(self) -> dict[str, list[TitleId]]:
        return self._group(lambda tag, name: [make_key("".join(to_pinyin(name)))] if tag in _HAN else [])

    @cached_property
    def by_simplified(self) -> dict[str, list[TitleId]]:
        return self._group(lambda tag, name: [make_key(to_simplified(name))] if tag in _HAN else [])

    @cached_property
    def by_latin_russian(self) -> dict[str, list[TitleId]]:
        return self._group(lambda tag, name: [make_key(romanise_cyrillic(name))] if tag == "ru" else [])

    def _group(self, make_keys: Callable[[str, str], list[str]]) -> dict[str, list[TitleId]]:
        by_key: defaultdict[str, dict[TitleId, None]] = defaultdict(dict)
        for title in self.titles:
            for tag, name in title.draft.names.items():
                for key in make_keys(tag, name):
                    by_key[key][title.draft.title_id] = None
        return {key: list(title_ids) for key, title_ids in by_key.items() if key}

    # Prefixes.

    @cached_property
    def _starts(self) -> list[tuple[str, int]]:
        return sorted(set(self._list_starts(fold, "")))

    @cached_property
    def _jamo_starts(self) -> list[tuple[str, int]]:
        return sorted(set(self._list_starts(lambda name: spell_jamo(fold(name)), "ko")))

    def _list_starts(self, spell: Callable[[str], str], only: str) -> Iterator[tuple[str, int]]:
        for n, title in enumerate(self.titles):
            for tag, name in title.draft.names.items():
                if not only or tag == only:
                    words = spell(name).split(" ")
                    for start in range(len(words)):
                        yield " ".join(words[start:])[:_PREFIX_LENGTH], n

    def find_prefix(self, prefix: str, *, jamo: bool = False) -> list[GeneratedTitle]:
        """Return the titles that have a prefix at the start of a word of a name, the most popular first."""
        starts = self._jamo_starts if jamo else self._starts
        first, last = bisect_left(starts, (prefix, -1)), bisect_left(starts, (f"{prefix}\U0010ffff", -1))
        found = {n for _, n in starts[first:last]}
        return sorted((self.titles[n] for n in found), key=lambda title: -title.popularity)

    def grade_prefix(self, prefix: str, *, jamo: bool = False) -> Grades:
        """Return the grades of the most popular titles of a prefix, and 3 for those that have just this name."""
        found = self.find_prefix(prefix, jamo=jamo)[: PREFIX_RANKS[-1]]
        grades: Grades = {
            title.draft.title_id: 3 - sum(n >= rank for rank in PREFIX_RANKS) for n, title in enumerate(found)
        }
        return grades | self.grade(prefix)

    @cached_property
    def _prefixes(self) -> dict[int, list[str]]:
        return {
            length: sorted({start[:length] for start, _ in self._starts if len(start) >= length and start.isascii()})
            for length in (7, 8, 9)
        }

    def find_near_prefixes(self, prefix: str) -> list[str]:
        """Return the prefixes of 8 letters that are one edit from a text in Latin letters."""
        return [
            found for found, *_ in extract(prefix, self._prefixes[8], scorer=OSA.distance, score_cutoff=1, limit=None)
        ]

    # Keys that are near.

    @cached_property
    def _keys(self) -> dict[tuple[bool, int], list[str]]:
        return _group_by_length(self.by_key)

    @cached_property
    def _people_keys(self) -> dict[tuple[bool, int], list[str]]:
        return _group_by_length(self.people_by_key)

    def find_near_keys(self, key: str, distance: int, *, people: bool = False) -> dict[str, int]:
        """Return the keys of names that are at most a number of edits from a key, with their distance."""
        groups = self._people_keys if people else self._keys
        near = {}
        for length in range(len(key) - distance, len(key) + distance + 1):
            names = groups.get((key.isascii(), length), [])
            for found, edits, _ in extract(key, names, scorer=OSA.distance, score_cutoff=distance, limit=None):
                near[found] = int(edits)
        return near

    # People and episodes.

    @cached_property
    def titles_by_person(self) -> dict[PersonId, dict[TitleId, None]]:
        titles: defaultdict[PersonId, dict[TitleId, None]] = defaultdict(dict)
        for title in self.titles:
            for credit in title.draft.credits:
                titles[credit.person.person_id][title.draft.title_id] = None
        return titles

    @cached_property
    def people_by_key(self) -> dict[str, list[Person]]:
        people = {c.person.person_id: c.person for title in self.titles for c in title.draft.credits}
        by_key = defaultdict(list)
        for person in people.values():
            for key in {make_key(name) for name in person.names.values()}:
                by_key[key].append(person)
        return by_key

    @cached_property
    def episodes_by_key(self) -> dict[str, list[tuple[TitleId, Episode]]]:
        by_key = defaultdict(list)
        for title in self.titles:
            for episode in title.draft.episodes:
                for key in {make_key(name) for name in episode.names.values()}:
                    by_key[key].append((title.draft.title_id, episode))
        return by_key

    @cached_property
    def series(self) -> list[GeneratedTitle]:
        return [title for title in self.titles if title.draft.episodes]


def _group_by_length(keys: Iterable[str]) -> dict[tuple[bool, int], list[str]]:
    groups = defaultdict(list)
    for key in keys:
        groups[key.isascii(), len(key)].append(key)
    return groups
