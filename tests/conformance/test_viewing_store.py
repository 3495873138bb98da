"""The suite of `ViewingStore`: the newest position is stored in any order of arrival, with its fact, durably."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engines import shared_engine
from tests.stores import SQL, database_url, store_opener

from matinee.drivers.cassandra import Cassandra
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.viewing import model
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.adapters.sql import SqlViewingStore
from matinee.viewing.api import Position

NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
LATER = NOW + timedelta(days=3650)
ACCOUNT = ids.derive(AccountId, "a")
ANNA, BEN = (ACCOUNT, ids.derive(ProfileId, "anna")), (ACCOUNT, ids.derive(ProfileId, "ben"))
Store: TypeAlias = SqlViewingStore | CassandraViewingStore
NewUrl = Callable[[], str]
Opener = Callable[[], Awaitable[Store]]


@pytest.fixture(params=[*SQL, "cassandra"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """Returns the URL of another empty store at each call."""
    if request.param == "cassandra":
        return partial(shared_engine("cassandra").url, "viewing")
    return partial(database_url, request.param, tmp_path, "viewing")


@asynccontextmanager
async def open_stores(url: str) -> AsyncIterator[Opener]:
    """Opens the same store again, as another process does."""
    if not url.startswith("cassandra:"):
        async with store_opener(SqlViewingStore, url) as opened:
            yield opened
        return
    async with AsyncExitStack() as stack:

        async def reopen() -> CassandraViewingStore:
            return await CassandraViewingStore.open(await stack.enter_async_context(Cassandra(url)), SystemClock())

        yield reopen


@pytest.fixture
async def open_store(new_url: NewUrl) -> AsyncIterator[Opener]:
    async with open_stores(new_url()) as opened:
        yield opened


def title(name: str) -> TitleId:
    return ids.derive(TitleId, name)


def episode(name: str) -> EpisodeId:
    return ids.derive(EpisodeId, name)


def at(
    second: float,
    film: str = "film",
    part: str | None = None,
    *,
    who: tuple[AccountId, ProfileId] = ANNA,
    device: str = "tv",
    position_ms: int | None = None,
) -> Position:
    return Position(
        account_id=who[0],
        profile_id=who[1],
        title_id=title(film),
        episode_id=episode(part) if part else None,
        position_ms=round(second * 1000) if position_ms is None else position_ms,
        duration_ms=100_000,
        updated_at=NOW + timedelta(seconds=second),
        device_id=DeviceId(device),
    )


async def save(store: Store, position: Position, now: datetime | None = None) -> Position:
    return await store.save(position, now=now or LATER)


async def list_all(store: Store, who: tuple[AccountId, ProfileId] = ANNA) -> list[Position]:
    return await store.list_recent(*who, after=None, limit=1000, dismissed=True, now=LATER)


async def test_a_clock_that_was_ahead_does_not_keep_later_positions_out(open_store: Opener) -> None:
    store = await open_store()
    await save(store, at(5 * 3600, position_ms=1), now=NOW + timedelta(hours=5))
    for second in (100, 110, 120):
        now = NOW + timedelta(seconds=second)
        assert await save(store, at(second), now=now) == at(second)
        assert await save(store, at(second - 5), now=now) == at(second)
        assert await list_all(store) == [at(second)]


async def test_a_dismissal_by_a_clock_that_was_ahead_is_ignored(open_store: Opener) -> None:
    store = await open_store()
    await save(store, at(10))
    await store.dismiss(*ANNA, title("film"), now=NOW + timedelta(hours=5))
    now = NOW + timedelta(seconds=20)
    assert await store.list_recent(*ANNA, after=None, limit=9, dismissed=False, now=now) == [at(10)]


async def test_saved_positions_are_read_after_a_reopen(open_store: Opener) -> None:
    store = await open_store()
    film, part = at(1), at(2, "series", "part", device="télé 🎬")
    assert await save(store, film) == film
    assert await save(store, part) == part
    again = await open_store()
    assert await list_all(again) == [part, film]
    assert await again.find_episode(*ANNA, part.title_id, episode("part")) == part
    assert await again.find_episode(*ANNA, part.title_id, episode("other")) is None
    assert await again.list_by_titles(*ANNA, [title("film"), title("nothing")]) == [film]


async def test_an_older_position_changes_nothing(open_store: Opener) -> None:
    store = await open_store()
    new, old = at(50), at(40, device="phone")
    await save(store, new)
    assert await save(store, old) == new
    assert await save(store, new) == new
    assert await list_all(store) == [new]


async def test_a_tie_has_one_winner_in_any_order(open_store: Opener) -> None:
    tied = [at(5, device="tv"), at(5, device="phone"), at(5, device="tv", position_ms=9)]
    winner = max(tied, key=model.precedence)
    for n, first in enumerate(tied):
        store, title_id = await open_store(), title(f"film {n}")
        for position in [first, *tied]:
            await save(store, msgspec.structs.replace(position, title_id=title_id))
        assert await store.list_by_titles(*ANNA, [title_id]) == [msgspec.structs.replace(winner, title_id=title_id)]


async def test_profiles_are_separate(open_store: Opener) -> None:
    store = await open_store()
    await save(store, at(9, who=ANNA))
    await save(store, at(3, who=BEN))
    same_name_elsewhere = (ids.derive(AccountId, "b"), ANNA[1])
    assert await list_all(store, same_name_elsewhere) == []
    await store.dismiss(*BEN, title("film"), now=NOW + timedelta(hours=1))
    assert len(await store.list_recent(*ANNA, after=None, limit=9, dismissed=False, now=LATER)) == 1
    await store.erase(*BEN, now=NOW + timedelta(hours=1))
    assert (await list_all(store, BEN), await list_all(store)) == ([], [at(9)])


async def test_the_history_is_read_in_pages(open_store: Opener) -> None:
    store = await open_store()
    positions = [at(n // 3, f"t{n % 5}", f"e{n}" if n % 2 else None) for n in range(30)]
    for position in positions:
        await save(store, position)
    everything = await list_all(store)
    assert everything == sorted(everything, key=model.history_key, reverse=True)
    paged: list[Position] = []
    while page := await store.list_recent(
        *ANNA, after=model.history_key(paged[-1]) if paged else None, limit=4, dismissed=True, now=LATER
    ):
        paged += page
    assert paged == everything


async def test_a_dismissed_title_is_listed_again_after_it_is_watched(open_store: Opener) -> None:
    store = await open_store()

    async def list_shown() -> list[TitleId]:
        return [p.title_id for p in await store.list_recent(*ANNA, after=None, limit=9, dismissed=False, now=LATER)]

    await save(store, at(10))
    await save(store, at(11, "other"))
    await store.dismiss(*ANNA, title("film"), now=NOW + timedelta(seconds=20))
    await store.dismiss(*ANNA, title("film"), now=NOW + timedelta(seconds=15))
    assert await list_shown() == [title("other")]
    await save(store, at(18))
    assert await list_shown() == [title("other")]
    assert len(await list_all(store)) == 2
    await save(store, at(21))
    assert await list_shown() == [title("film"), title("other")]


async def test_a_late_position_does_not_return_after_an_erasure(open_store: Opener) -> None:
    store = await open_store()
    await save(store, at(10))
    await store.erase(*ANNA, now=NOW + timedelta(seconds=20))
    await store.erase(*ANNA, now=NOW + timedelta(seconds=20))
    await save(store, at(15))
    assert await list_all(store) == []
    await save(store, at(30))
    assert await list_all(await open_store()) == [at(30)]


async def test_concurrent_writers_leave_the_newest(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    positions = [at(n * 7 % 101, f"t{n % 3}", device=f"d{n}") for n in range(101)]
    await asyncio.gather(*(save(stores[n % 2], position) for n, position in enumerate(positions)))
    newest = [max((p for p in positions if p.title_id == title(f"t{n}")), key=model.precedence) for n in range(3)]
    assert await list_all(stores[0]) == sorted(newest, key=model.history_key, reverse=True)


async def test_of_positions_of_one_millisecond_one_is_stored_unmixed(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    for turn in range(20):
        who = (ids.derive(AccountId, str(turn)), ANNA[1])
        tied = [
            msgspec.structs.replace(
                at(5, who=who, device=f"d{n * 7 % 4}"), position_ms=n * 77 % 5, duration_ms=n * 31 % 7
            )
            for n in range(10)
        ]
        await asyncio.gather(*(save(stores[n % 2], position) for n, position in enumerate(tied)))
        assert await list_all(stores[turn % 2], who) == [max(tied, key=model.precedence)]


async def test_a_title_watched_again_months_later_is_listed_once(open_store: Opener) -> None:
    store, day = await open_store(), 24 * 3600
    for months in range(6):
        for film in ("always", f"only {months}"):
            await save(store, at(months * 31 * day, film))
    await asyncio.gather(*(save(store, at(n * 40 * day, "raced")) for n in range(5)))
    everything = await list_all(store)
    assert everything == sorted(everything, key=model.history_key, reverse=True)
    assert {p.title_id: p.updated_at for p in everything} == {
        title("always"): NOW + timedelta(days=155),
        title("raced"): NOW + timedelta(days=160),
        **{title(f"only {months}"): NOW + timedelta(days=31 * months) for months in range(6)},
    }
    paged: list[Position] = []
    while page := await store.list_recent(
        *ANNA, after=model.history_key(paged[-1]) if paged else None, limit=3, dismissed=True, now=LATER
    ):
        paged += page
    assert paged == everything
    await store.erase(*ANNA, now=NOW + timedelta(days=90))
    assert await list_all(store) == []


async def test_acknowledged_positions_survive_a_killed_process(new_url: NewUrl) -> None:
    url = new_url()
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        url,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{Path.cwd()}/src:{Path.cwd()}"},
    )
    assert writer.stdout is not None
    saved = 0
    async for line in writer.stdout:
        if line.startswith(b"saved "):
            saved = int(line[6:])
        if saved >= 150:
            writer.kill()
            break
    await writer.communicate()
    async with open_stores(url) as reopen:
        store = await reopen()
        stored = {p.title_id: p for p in await list_all(store)}
    for n in range(saved + 1):
        written = at(n, f"t{n % 50}")
        assert model.precedence(stored[written.title_id]) >= model.precedence(written)


async def write_until_killed(url: str) -> None:
    async with open_stores(url) as reopen:
        store = await reopen()
        for n in range(100_000):
            await save(store, at(n, f"t{n % 50}"))
            print("saved", n, flush=True)


REOPEN = "reopen"
POSITIONS = st.builds(
    at,
    st.integers(0, 20),
    st.sampled_from(["a", "b"]),
    st.sampled_from([None, "e"]),
    who=st.sampled_from([ANNA, BEN]),
    device=st.sampled_from(["tv", "phone"]),
    position_ms=st.integers(0, 2),
)
STEPS = st.one_of(
    POSITIONS,
    POSITIONS,
    st.tuples(st.sampled_from(["dismiss", "erase"]), POSITIONS),
    st.just(REOPEN),
)


class Plain:
    """The store as dicts, with which every engine must agree."""

    def __init__(self) -> None:
        self.positions: dict[Any, Position] = {}
        self.dismissed: dict[Any, datetime] = {}
        self.erased: dict[Any, datetime] = {}

    def save(self, p: Position) -> Position:
        who = (p.account_id, p.profile_id)
        key = (*who, p.title_id, p.episode_id)
        here = self.positions.get(key)
        if here is not None and model.precedence(here) >= model.precedence(p):
            return here
        if here is not None or self.erased.get(who, datetime.min.replace(tzinfo=UTC)) < p.updated_at:
            self.positions[key] = p
        return p

    def dismiss(self, p: Position) -> None:
        key = (p.account_id, p.profile_id, p.title_id)
        self.dismissed[key] = max(p.updated_at, self.dismissed.get(key, p.updated_at))

    def erase(self, p: Position) -> None:
        who = (p.account_id, p.profile_id)
        self.erased[who] = max(p.updated_at, self.erased.get(who, p.updated_at))
        self.positions = {key: kept for key, kept in self.positions.items() if key[:2] != who}
        self.dismissed = {key: kept for key, kept in self.dismissed.items() if key[:2] != who}

    def recent(self, who: Any, dismissed: bool) -> list[Position]:
        found = [p for key, p in self.positions.items() if key[:2] == who]
        if not dismissed:
            found = [p for p in found if self.dismissed.get((*who, p.title_id), NOW - timedelta(1)) < p.updated_at]
        return sorted(found, key=model.history_key, reverse=True)


@given(st.lists(STEPS, max_size=30))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_store_agrees_with_a_dict(open_store: Opener, steps: list[Any]) -> None:
    plain, store, now = Plain(), await open_store(), NOW
    account_id = ids.derive(AccountId, uuid.uuid4().hex)
    for step in steps:
        if step == REOPEN:
            store = await open_store()
            continue
        action, p = ("save", step) if isinstance(step, Position) else step
        p = msgspec.structs.replace(p, account_id=account_id)
        now = max(now, p.updated_at)
        if action == "save":
            assert await save(store, p) == plain.save(p)
        elif action == "dismiss":
            plain.dismiss(p)
            await store.dismiss(p.account_id, p.profile_id, p.title_id, now=p.updated_at)
        else:  # no stored time is later than now
            plain.erase(msgspec.structs.replace(p, updated_at=now))
            await store.erase(p.account_id, p.profile_id, now=now)
    for _, profile_id in (ANNA, BEN):
        for dismissed in (True, False):
            got = await store.list_recent(account_id, profile_id, after=None, limit=100, dismissed=dismissed, now=LATER)
            assert got == plain.recent((account_id, profile_id), dismissed)


if __name__ == "__main__":
    asyncio.run(write_until_killed(sys.argv[1]))
