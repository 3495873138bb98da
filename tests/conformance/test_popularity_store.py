"""The suite of `PopularityStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.stores import SQL, database_url, store_opener

from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import TitleId
from matinee.search.adapters.sql_popularity import SqlPopularityStore
from matinee.search.ports import PopularityStore

Opener = Callable[[], Awaitable[PopularityStore]]
NOW = ManualClock().now()
A, B, C = (ids.derive(TitleId, name) for name in "abc")


@pytest.fixture(params=SQL)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlPopularityStore, database_url(request.param, tmp_path, "search")) as opened:
        yield opened


async def test_plays_are_added_and_older_ones_count_less(reopen: Opener) -> None:
    store = await reopen()
    await store.add({A: 3, B: 1}, now=NOW)
    await store.add({A: 1, C: 2}, now=NOW)
    await store.add({}, now=NOW)
    later = NOW + timedelta(days=14)
    await store.add({A: 1}, now=later)
    assert await (await reopen()).load(now=later) == pytest.approx({A: 3.0, B: 0.5, C: 1.0})


async def test_a_clock_that_was_ahead_loses_nothing(reopen: Opener) -> None:
    store = await reopen()
    await store.add({A: 2}, now=NOW + timedelta(days=1))
    await store.add({A: 2}, now=NOW)
    assert await store.load(now=NOW) == pytest.approx({A: 4.0})


async def test_concurrent_additions_all_count(reopen: Opener) -> None:
    stores = [await reopen() for _ in range(3)]
    await asyncio.gather(*(store.add({A: 1, B: 2}, now=NOW) for store in stores for _ in range(5)))
    assert await stores[0].load(now=NOW) == pytest.approx({A: 15.0, B: 30.0})
