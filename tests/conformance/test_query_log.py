"""The suite of `QueryLog`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.stores import SQL, database_url, store_opener

from matinee.kit import ids
from matinee.kit.ids import TitleId
from matinee.search.adapters.sql_queries import SqlQueryLog
from matinee.search.api import QueryCounts, QueryReport, SearchCounts
from matinee.search.model.queries import add
from matinee.search.ports import QueryLog

Opener = Callable[[], Awaitable[QueryLog]]
TODAY = date(2026, 3, 1)
A, B, C = (ids.derive(TitleId, name) for name in "abc")
KINDS = ("unanswered", "abandoned", "searches")


@pytest.fixture(params=SQL)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlQueryLog, database_url(request.param, tmp_path, "search")) as opened:
        yield opened


def count(query: str, searches: int = 1, **more: int) -> QueryCounts:
    return QueryCounts(query=query, counts=SearchCounts(searches=searches, **more))


async def put(
    log: QueryLog, *queries: QueryCounts, day: date = TODAY, limit: int = 100, **opened: dict[TitleId, int]
) -> None:
    by_key = {query.query.casefold(): query for query in queries}
    await log.add(day=day, queries=by_key, opened=opened.get("opened", {}), limit=limit)


async def report(log: QueryLog, days: int = 7, limit: int = 10) -> QueryReport:
    return await log.report(days=days, today=TODAY, limit=limit)


async def test_counts_are_added_and_listed_by_frequency(reopen: Opener) -> None:
    log = await reopen()
    assert await report(log) == QueryReport(days=7, total=SearchCounts())
    await put(log, count("Dune", 3, abandoned=1), count("Dnue", 2, unanswered=2))
    await put(log, count("dune", 2, abandoned=2, corrected=1), count("Blåhaj", 4, unanswered=1))
    await put(log)
    found = await report(await reopen())
    assert found.total == SearchCounts(searches=11, unanswered=3, abandoned=3, corrected=1)
    assert found.unanswered == [count("Dnue", 2, unanswered=2), count("Blåhaj", 4, unanswered=1)]
    assert found.abandoned == [count("Dune", 5, abandoned=3, corrected=1)]
    assert [each.query for each in found.frequent] == ["Dune", "Blåhaj", "Dnue"]
    assert [each.query for each in (await report(log, limit=1)).frequent] == ["Dune"]


async def test_queries_that_differ_in_one_letter_or_in_spaces_at_the_end_are_others(reopen: Opener) -> None:
    log = await reopen()
    await log.add(
        day=TODAY, queries={key: count(key) for key in ("a", "a ", "á", "か", "が", "🧂")}, opened={}, limit=10
    )
    assert {each.query for each in (await report(log)).frequent} == {"a", "a ", "á", "か", "が", "🧂"}


async def test_longest_query_is_stored(reopen: Opener) -> None:
    log = await reopen()
    await log.add(day=TODAY, queries={"🧂" * 200: count("🧂" * 200)}, opened={}, limit=10)
    assert (await report(log)).frequent == [count("🧂" * 200)]


async def test_day_has_a_limit_and_its_total_has_not(reopen: Opener) -> None:
    log = await reopen()
    await put(log, count("a"), count("b"), count("c", 2, unanswered=2), limit=2)
    await put(log, count("d"), count("a"), limit=2)
    await put(log, count("d"), day=TODAY - timedelta(days=1), limit=2)
    found = await report(log)
    assert found.total == SearchCounts(searches=7, unanswered=2)
    assert {each.query: each.counts.searches for each in found.frequent} == {"a": 2, "b": 1, "d": 1}


async def test_days_are_apart_and_old_ones_are_removed(reopen: Opener) -> None:
    log = await reopen()
    for age in (0, 6, 7):
        await put(log, count("dune"), day=TODAY - timedelta(days=age), opened={A: age + 1, B: 9})
    assert (await report(log)).total.searches == 2
    assert (await report(log, days=1)).total.searches == 1
    opened = await log.list_opened(since=TODAY - timedelta(days=6), limit=3)
    assert opened == [(TODAY, B, 9), (TODAY - timedelta(days=6), B, 9), (TODAY - timedelta(days=6), A, 7)]
    await log.remove_before(TODAY - timedelta(days=6))
    assert (await report(log, days=30)).total.searches == 2
    assert len(await log.list_opened(since=TODAY - timedelta(days=30), limit=99)) == 4


async def test_concurrent_additions_all_count(reopen: Opener) -> None:
    logs = [await reopen() for _ in range(3)]
    query = [count("dune", abandoned=1), count("salt")]
    await asyncio.gather(*(put(log, *query, opened={A: 1, C: 2}) for log in logs for _ in range(5)))
    found = await report(logs[0])
    assert found.total == SearchCounts(searches=30, abandoned=15)
    assert await logs[0].list_opened(since=TODAY, limit=9) == [(TODAY, C, 30), (TODAY, A, 15)]


async def test_log_is_like_a_dict(reopen: Opener) -> None:
    log, rng = await reopen(), random.Random(7)
    expected: dict[tuple[date, str], SearchCounts] = {}
    for _ in range(60):
        day = TODAY - timedelta(days=rng.randrange(9))
        queries = {
            f"q{number}": count(f"q{number}", rng.randrange(1, 4), unanswered=rng.randrange(2), abandoned=1)
            for number in rng.sample(range(12), rng.randrange(5))
        }
        await log.add(day=day, queries=queries, opened={}, limit=100)
        for key, query in queries.items():
            expected[day, key] = add(expected.get((day, key), SearchCounts()), query.counts)
    sums: dict[str, SearchCounts] = {}
    for (day, key), counts in expected.items():
        if day > TODAY - timedelta(days=7):
            sums[key] = add(sums.get(key, SearchCounts()), counts)
    found = await report(log, limit=20)
    for kind, listed in zip(KINDS, (found.unanswered, found.abandoned, found.frequent), strict=True):
        counted = {key: getattr(counts, kind) for key, counts in sums.items()}
        wanted = [key for _, key in sorted((-count, key) for key, count in counted.items() if count)]
        assert [(each.query, each.counts) for each in listed] == [(key, sums[key]) for key in wanted]
