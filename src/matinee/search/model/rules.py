"""The rules of the editors as searches use them: by the folded words of a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matinee.kit.ids import TitleId
from matinee.search.api import Pin, SearchRule, Synonym
from matinee.search.model.folding import fold

# So many other queries are searched for at most.
_MEANINGS = 5


class Rules:
    """Rules by the words of their queries."""

    def __init__(self, rules: Iterable[SearchRule] = ()) -> None:
        self._meanings: dict[tuple[str, ...], list[str]] = {}
        self._pins: dict[str, list[TitleId]] = {}
        for rule in rules:
            match rule:
                case Synonym(query=query, meanings=meanings):
                    self._meanings[tuple(fold(query).split())] = [fold(meaning) for meaning in meanings]
                case Pin(query=query, title_ids=title_ids):
                    self._pins[fold(query)] = title_ids
        self._most_words = max(map(len, self._meanings), default=0)

    def list_meanings(self, query: str) -> list[str]:
        """Return what else a query means: with words that are the query of a synonym replaced by each meaning."""
        words = fold(query).split()
        found: dict[str, None] = {}
        for start in range(len(words)):
            for end in range(start + 1, min(start + self._most_words, len(words)) + 1):
                for meaning in self._meanings.get(tuple(words[start:end]), ()):
                    found[" ".join([*words[:start], meaning, *words[end:]])] = None
        return list(found)[:_MEANINGS]

    def list_pinned(self, query: str) -> Sequence[TitleId]:
        """Return the titles that come first for a query."""
        return self._pins.get(fold(query), ())
