"""The quality gate of search: queries with known answers over a generated catalogue, on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from matinee.lab.catalogue import generate_titles
from matinee.lab.search import Evaluation, evaluate, generate_queries
from matinee.lab.search.trial import build_trial, make_find, open_index

TITLES, QUERIES, SEED = 1_200, 1_000, 11
# The least share of the queries of a class whose answer is among the first ten; of 36,000 titles it is lower.
LEAST = {
    "exact": 1.0,
    "prefix": 0.98,
    "prefix-typo": 0.95,
    "one-typo": 0.98,
    "two-typos": 0.97,
    "phonetic": 0.94,
    "joined-split": 0.99,
    "article-accent": 0.98,
    "person": 0.98,
    "person-genre": 0.96,
    "episode": 0.98,
    "cross-script": 0.98,
    "wrong-layout": 0.96,
    "dubbed-language": 1.0,
    "genre": 0.9,
    "language-genre": 0.9,
    "numerals": 0.95,
    "nonsense": 1.0,
}


@pytest.fixture(params=["tantivy", "opensearch"])
async def evaluation(request: pytest.FixtureRequest, tmp_path: Path) -> Evaluation:
    titles = list(generate_titles(TITLES, SEED))
    async with open_index(request.param, tmp_path) as index:
        search = await build_trial(index, titles)
        find, find_exact = make_find(search), make_find(search, exact=True)
        return await evaluate(find, generate_queries(titles, QUERIES, SEED), find_exact=find_exact)


async def test_answers_are_among_the_first_ten(evaluation: Evaluation) -> None:
    found = {score.query_class: score.success_at_10 for score in evaluation.scores}
    below = {name: (found[name], least) for name, least in LEAST.items() if found[name] < least}
    assert below == {}, [miss.query.text for miss in evaluation.misses if miss.query.query_class in below]
