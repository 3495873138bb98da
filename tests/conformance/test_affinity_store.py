"""The suite of `AffinityStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.stores import SQL, database_url, store_opener

from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import ProfileId
from matinee.search.adapters.sql_affinity import SqlAffinityStore
from matinee.search.model.affinity import MAX_GENRES
from matinee.search.ports import AffinityStore

Opener = Callable[[], Awaitable[AffinityStore]]
NOW = ManualClock().now()
ADA, KIM = (ids.derive(ProfileId, name) for name in ("ada", "kim"))


@pytest.fixture(params=SQL)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlAffinityStore, database_url(request.param, tmp_path, "search")) as opened:
        yield opened


async def test_plays_are_added_and_older_ones_count_less(reopen: Opener) -> None:
    store = await reopen()
    await store.add({ADA: [["drama"], ["drama", "crime"]], KIM: [["comedy"]]}, now=NOW)
    later = NOW + timedelta(days=30)
    await store.add({ADA: [["crime"]]}, now=later)
    again = await reopen()
    assert await again.load(ADA, now=later) == pytest.approx({"crime": 1.25, "drama": 0.75})
    assert await again.load(KIM, now=NOW) == {"comedy": 1.0}
    assert await again.load(ids.derive(ProfileId, "unknown"), now=NOW) == {}


async def test_a_clock_that_was_ahead_loses_nothing(reopen: Opener) -> None:
    store = await reopen()
    await store.add({ADA: [["drama"]]}, now=NOW + timedelta(days=1))
    await store.add({ADA: [["drama"]]}, now=NOW)
    assert await store.load(ADA, now=NOW) == {"drama": 2.0}


async def test_an_affinity_is_bounded(reopen: Opener) -> None:
    store = await reopen()
    long_ids = [f"{number}".rjust(64, "g") for number in range(4 * MAX_GENRES)]
    await store.add({ADA: [[genre_id] for genre_id in long_ids] + [["drama"], ["drama"]]}, now=NOW)
    found = await store.load(ADA, now=NOW)
    assert (len(found), found["drama"]) == (MAX_GENRES, 2.0)


async def test_profiles_are_removed(reopen: Opener) -> None:
    store = await reopen()
    await store.add({ADA: [["drama"]], KIM: [["comedy"]]}, now=NOW)
    await store.remove([ADA, ids.derive(ProfileId, "unknown")])
    await store.remove([])
    assert await store.load(ADA, now=NOW) == {}
    assert await store.load(KIM, now=NOW) == {"comedy": 1.0}


async def test_concurrent_additions_all_count(reopen: Opener) -> None:
    stores = [await reopen() for _ in range(3)]
    await asyncio.gather(*(store.add({ADA: [["a"]], KIM: [["b"]]}, now=NOW) for store in stores for _ in range(5)))
    assert await stores[0].load(ADA, now=NOW) == pytest.approx({"a": 15.0})
