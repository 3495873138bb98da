"""How well a search finds what judged queries mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from matinee.kit.ids import PREFIXES, EpisodeId, PersonId, TitleId

# Finds a query of a viewer with a language: ids of titles and people in one list, the best first.
Find: TypeAlias = Callable[[str, str], Awaitable[Sequence[str]]]

ALL: Final = "all"
# The class whose answers are people; those of the others are titles.
PERSON: Final = "person"
_DEPTH = 10
# A result with a lower grade is useful, but not what was meant.
_MEANT = 2


class JudgedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query and what it should find: the ids of titles or people with a grade from 1 (useful) to 3 (meant).

    `pattern` is how the query was made within its class, `language` that of the viewer. Without grades nothing should
    be found. `episode_id` is that of the episode that is meant.
    """

    text: str
    language: str
    query_class: str
    pattern: str
    grades: dict[str, int]
    episode_id: EpisodeId | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The means over the queries of a class, each from 0 to 1."""

    query_class: str
    count: int
    success_at_1: float
    success_at_10: float
    mrr: float
    ndcg_at_10: float


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """A query whose answer is not among the first ten, and what was found instead."""

    query: JudgedQuery
    found: list[str]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The scores by class, by class and pattern (`class/pattern`), and the queries that were missed."""

    scores: list[Score]
    patterns: list[Score]
    misses: list[Miss]


class _Measures(msgspec.Struct, frozen=True):
    success_at_1: float
    success_at_10: float
    mrr: float
    ndcg_at_10: float


async def evaluate(find: Find, queries: Iterable[JudgedQuery], *, find_exact: Find | None = None) -> Evaluation:
    """Run queries one after another and measure what is found.

    `find_exact` finds without corrections; it is used for the queries for which nothing should be found, since nearest
    titles are a correct answer of `find` to them.
    """
    by_class: defaultdict[str, list[_Measures]] = defaultdict(list)
    by_pattern: defaultdict[str, list[_Measures]] = defaultdict(list)
    misses = []
    for query in queries:
        search = find if query.grades else find_exact or find
        prefix = PREFIXES[PersonId if query.query_class == PERSON else TitleId]
        found = [each for each in await search(query.text, query.language) if each.startswith(f"{prefix}_")]
        measures = _measure(query.grades, found)
        by_class[query.query_class].append(measures)
        by_pattern[f"{query.query_class}/{query.pattern}"].append(measures)
        if not measures.success_at_10:
            misses.append(Miss(query=query, found=found[:_DEPTH]))
    everything = {ALL: [each for measures in by_class.values() for each in measures]}
    return Evaluation(
        scores=[_summarise(name, measures) for name, measures in (by_class | everything).items()],
        patterns=[_summarise(name, measures) for name, measures in sorted(by_pattern.items())],
        misses=misses,
    )


def measure_ndcg(grades: Mapping[str, int], found: Sequence[str], depth: int = _DEPTH) -> float:
    """Return the normalised discounted cumulative gain; the gain of a result is its grade."""
    ideal = sum(grade / math.log2(n + 2) for n, grade in enumerate(sorted(grades.values(), reverse=True)[:depth]))
    gain = sum(grades.get(each, 0) / math.log2(n + 2) for n, each in enumerate(found[:depth]))
    return gain / ideal if ideal else 0.0


def measure_reciprocal_rank(grades: Mapping[str, int], found: Sequence[str]) -> float:
    """Return 1 / the place of the first result that is meant; 0 if there is none."""
    return next((1 / n for n, each in enumerate(found, 1) if grades.get(each, 0) >= _MEANT), 0.0)


def _measure(grades: Mapping[str, int], found: Sequence[str]) -> _Measures:
    if not grades:
        correct = float(not found)
        return _Measures(correct, correct, correct, correct)
    rank = measure_reciprocal_rank(grades, found)
    return _Measures(float(rank == 1), float(rank >= 1 / _DEPTH), rank, measure_ndcg(grades, found))


def _summarise(name: str, measures: Sequence[_Measures]) -> Score:
    count = len(measures)
    return Score(
        query_class=name,
        count=count,
        success_at_1=sum(each.success_at_1 for each in measures) / count,
        success_at_10=sum(each.success_at_10 for each in measures) / count,
        mrr=sum(each.mrr for each in measures) / count,
        ndcg_at_10=sum(each.ndcg_at_10 for each in measures) / count,
    )


def render_scores(scores: Iterable[Score]) -> str:
    """Render scores as a table in plain text."""
    from rich.console import Console
    from rich.table import Table

    table = Table("class", box=None, pad_edge=False)
    for name in ("queries", "success@1", "success@10", "MRR", "NDCG@10"):
        table.add_column(name, justify="right")
    for score in scores:
        values = (score.success_at_1, score.success_at_10, score.mrr, score.ndcg_at_10)
        table.add_row(score.query_class, str(score.count), *(f"{value:.4f}" for value in values))
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
