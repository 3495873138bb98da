"""Counting of searches: which were answered, and which titles are opened from them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from matinee.events.api import SearchEnded
from matinee.kit.ids import TitleId
from matinee.search.api import QueryCounts, SearchCounts
from matinee.search.model.folding import fold

KEY_LENGTH = 200
# Days whose openings count for what is trending; those of two days ago count half.
TRENDING_DAYS, _HALF_LIFE_DAYS = 7, 2.0
# Fewer openings may be those of one viewer, and say nothing about what is popular.
_LEAST_OPENINGS = 3


def to_key(query: str) -> str:
    """Return the spelling by which a query is counted: folded, or as it is where nothing is left of it (`!!!`)."""
    return (fold(query) or query.strip())[:KEY_LENGTH]


def count(fact: SearchEnded) -> SearchCounts:
    """Return what a search counts as."""
    found = fact.titles + fact.people + fact.genres > 0
    is_complete = not fact.partial
    return SearchCounts(
        searches=1,
        unanswered=int(is_complete and not found),
        abandoned=int(is_complete and found and fact.opened_kind is None),
        corrected=int(fact.corrected),
    )


def add(one: SearchCounts, other: SearchCounts) -> SearchCounts:
    """Return the sum of two counts."""
    return SearchCounts(
        searches=one.searches + other.searches,
        unanswered=one.unanswered + other.unanswered,
        abandoned=one.abandoned + other.abandoned,
        corrected=one.corrected + other.corrected,
    )


def count_queries(facts: Iterable[SearchEnded]) -> dict[str, QueryCounts]:
    """Return the counts of each query, by its key."""
    found: dict[str, QueryCounts] = {}
    for fact in facts:
        key = to_key(fact.query)
        before = found.get(key) or QueryCounts(query=fact.query, counts=SearchCounts())
        found[key] = QueryCounts(query=before.query, counts=add(before.counts, count(fact)))
    return found


def rank_opened(opened: Iterable[tuple[date, TitleId, int]], today: date) -> list[TitleId]:
    """Return the titles that were opened often enough, those first that were opened most, of which old ones less."""
    totals: dict[TitleId, int] = {}
    scores: dict[TitleId, float] = {}
    for day, title_id, openings in opened:
        totals[title_id] = totals.get(title_id, 0) + openings
        weight = 0.5 ** (max(0, (today - day).days) / _HALF_LIFE_DAYS)
        scores[title_id] = scores.get(title_id, 0.0) + openings * weight
    return sorted(
        (title_id for title_id, total in totals.items() if total >= _LEAST_OPENINGS),
        key=lambda title_id: (-scores[title_id], title_id),
    )
