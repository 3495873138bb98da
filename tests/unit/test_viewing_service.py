"""`ViewingService`: positions, continue watching and history."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.drivers.sql import Database
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import ProfileRemoved, new_record
from matinee.events.jobs import PollingFollower
from matinee.events.service import EventsService
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import Invalid
from matinee.viewing import jobs, model
from matinee.viewing.adapters.sql import SqlViewingStore
from matinee.viewing.api import Position
from matinee.viewing.service import ViewingService

NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
WHO: dict[str, Any] = {"account_id": AccountId("acc_a"), "profile_id": ProfileId("pro_a")}


class Deployment:
    """The service on an empty store."""

    def __init__(self, database: Database, store: SqlViewingStore) -> None:
        self.clock, self.database, self.store = ManualClock(NOW), database, store
        self.viewing = ViewingService(store=store, clock=self.clock)

    async def watch(self, title: str, episode: str | None = None, **changed: Any) -> Position:
        return await self.viewing.record(position=at(self.clock.advance(seconds=1), title, episode, **changed))

    async def continue_watching(self, limit: int = 20) -> list[str]:
        return [p.title_id for p in await self.viewing.continue_watching(**WHO, limit=limit)]


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with Database(f"sqlite:///{tmp_path}/viewing.db") as database:
        yield Deployment(database, await SqlViewingStore.open(database))


def at(when: datetime, title: str = "film", episode: str | None = None, **changed: Any) -> Position:
    position = Position(
        **WHO,
        title_id=TitleId(title),
        episode_id=EpisodeId(episode) if episode else None,
        position_ms=10_000,
        duration_ms=100_000,
        updated_at=when,
        device_id=DeviceId("dev_tv"),
    )
    return msgspec.structs.replace(position, **changed)


async def test_a_time_in_the_future_is_replaced_by_now(deployment: Deployment) -> None:
    wrong = await deployment.viewing.record(position=at(NOW + timedelta(days=900), position_ms=1))
    assert wrong.updated_at == NOW
    right = await deployment.watch("film", position_ms=2)
    assert right.position_ms == 2
    assert await deployment.viewing.get_position(**WHO, title_id=TitleId("film")) == right


async def test_a_position_is_bounded_by_a_known_duration(deployment: Deployment) -> None:
    assert (await deployment.watch("a", position_ms=100_700)).position_ms == 100_000
    assert (await deployment.watch("b", position_ms=700, duration_ms=0)).position_ms == 700


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"position_ms": -1}, "position_ms"),
        ({"duration_ms": -1}, "duration_ms"),
        ({"duration_ms": 10**12}, "duration_ms"),
        ({"updated_at": datetime(2026, 1, 1)}, "updated_at"),  # noqa: DTZ001
        ({"updated_at": datetime(1970, 1, 1, tzinfo=UTC)}, "updated_at"),
        ({"title_id": ""}, "title_id"),
        ({"device_id": "x" * 5000}, "device_id"),
        ({"episode_id": ""}, "episode_id"),
    ],
)
async def test_invalid_positions_are_refused(deployment: Deployment, changed: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await deployment.viewing.record(position=at(NOW, **changed))
    assert [fault.field for fault in caught.value.faults] == [field]
    assert (await deployment.viewing.list_history(**WHO)).items == []


async def test_invalid_arguments_of_lists_are_refused(deployment: Deployment) -> None:
    for call in [
        deployment.viewing.list_history(**WHO, limit=0),
        deployment.viewing.continue_watching(**WHO, limit=10**6),
        deployment.viewing.list_positions(**WHO, title_ids=[TitleId("t")] * 1001),
        deployment.viewing.dismiss(**WHO, title_id=TitleId("")),
        *(
            deployment.viewing.list_history(**WHO, cursor=c)
            for c in ("", "nonsense", "é", "A" * 9999, "OTk5OTk5OTk5OTk5OTk5OS9hL2I")
        ),
    ]:
        with pytest.raises(Invalid):
            await call


async def test_the_position_in_a_series_is_its_newest(deployment: Deployment) -> None:
    first, second = await deployment.watch("show", "e1"), await deployment.watch("show", "e2")
    again = await deployment.watch("show", "e1", position_ms=20_000)
    series, this, other = TitleId("show"), EpisodeId("e1"), EpisodeId("e3")
    assert first.position_ms == 10_000
    assert await deployment.viewing.get_position(**WHO, title_id=series) == again
    assert await deployment.viewing.get_position(**WHO, title_id=series, episode_id=EpisodeId("e2")) == second
    assert await deployment.viewing.get_position(**WHO, title_id=series, episode_id=this) == again
    assert await deployment.viewing.get_position(**WHO, title_id=series, episode_id=other) is None
    assert await deployment.viewing.get_position(**WHO, title_id=TitleId("unwatched")) is None
    assert await deployment.viewing.list_positions(**WHO, title_ids=[series, TitleId("unwatched")]) == [again, second]
    assert await deployment.viewing.list_positions(**WHO, title_ids=[]) == []


async def test_continue_watching_lists_each_title_once_without_finished_films(deployment: Deployment) -> None:
    await deployment.watch("finished film", position_ms=99_000)
    await deployment.watch("film")
    await deployment.watch("show", "e1", position_ms=99_000)
    await deployment.watch("show", "e2", position_ms=100_000)
    await deployment.watch("dismissed")
    await deployment.viewing.dismiss(**WHO, title_id=TitleId("dismissed"))
    assert await deployment.continue_watching() == ["show", "film"]
    assert await deployment.continue_watching(limit=1) == ["show"]
    await deployment.watch("dismissed")
    assert await deployment.continue_watching() == ["dismissed", "show", "film"]


async def test_continue_watching_leaves_out_what_was_only_opened(deployment: Deployment) -> None:
    await deployment.watch("opened", position_ms=300)
    await deployment.watch("short", position_ms=4_900)
    await deployment.watch("long", position_ms=9_999, duration_ms=7_200_000)
    await deployment.watch("show", "e1")
    await deployment.watch("show", "e2", position_ms=300)
    (position,) = await deployment.viewing.continue_watching(**WHO)
    assert (position.title_id, position.episode_id) == ("show", "e1")
    await deployment.watch("long", position_ms=10_000, duration_ms=7_200_000)
    assert await deployment.continue_watching() == ["long", "show"]


async def test_continue_watching_finds_titles_after_a_long_series(deployment: Deployment) -> None:
    await deployment.watch("film")
    for n in range(150):
        await deployment.watch("show", f"e{n}")
    assert await deployment.continue_watching() == ["show", "film"]


async def test_history_is_paged(deployment: Deployment) -> None:
    for n in range(7):
        await deployment.watch(f"film {n}", position_ms=100_000)
    titles: list[str] = []
    cursor = None
    while True:
        page = await deployment.viewing.list_history(**WHO, cursor=cursor, limit=3)
        titles += [p.title_id for p in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert titles == [f"film {n}" for n in reversed(range(7))]


ARRIVALS = st.lists(
    st.tuples(st.integers(-4, 0), st.sampled_from(["tv", "phone"]), st.integers(0, 3)), min_size=1, max_size=4
)


@given(ARRIVALS)
@settings(max_examples=15)
def test_the_order_of_arrival_has_no_effect(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, str, int]]
) -> None:
    asyncio.run(record_in_all_orders(f"sqlite:///{tmp_path_factory.mktemp('orders')}/viewing.db", arrivals))


async def record_in_all_orders(url: str, arrivals: list[tuple[int, str, int]]) -> None:
    async with Database(url) as database:
        deployment = Deployment(database, await SqlViewingStore.open(database))
        for n, order in enumerate(permutations(arrivals)):
            stored = [
                await deployment.viewing.record(
                    position=at(NOW + timedelta(seconds=s), f"{n}", device_id=DeviceId(device), position_ms=ms)
                )
                for s, device, ms in order
            ]
            assert await deployment.viewing.get_position(**WHO, title_id=TitleId(f"{n}")) == stored[-1]
        ends = {model.precedence(p) for p in (await deployment.viewing.list_history(**WHO, limit=200)).items}
        assert len(ends) == 1


async def test_removed_profiles_are_erased(deployment: Deployment) -> None:
    log = await SqliteEventLog.open(deployment.database)
    events = EventsService(log=log, dead_letters=log, leases=log, clock=deployment.clock)
    follower = PollingFollower(events, deployment.clock)
    erasing = asyncio.create_task(jobs.erase_removed_profiles(deployment.viewing, follower))
    await deployment.watch("film", position_ms=30)
    removed = new_record(ProfileRemoved(**WHO), key="pro_a", now=NOW)
    await events.append(records=[removed])
    async with asyncio.timeout(20):
        while (await deployment.viewing.list_history(**WHO)).items:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    erasing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await erasing
