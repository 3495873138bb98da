"""The conformance suite of `SessionStore`: sessions change with their facts, and end exactly once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.stores import SQL_OR_REDIS, database_url, sql_or_redis_opener

from matinee.kit import ids
from matinee.kit.ids import AccountId, AssetId, DeviceId, EdgeId, PlaySessionId, ProfileId, TitleId
from matinee.playback.adapters.redis import RedisSessionStore
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.api import Capabilities
from matinee.playback.model.sessions import StoredSession

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SERVED = (EdgeId("edg_a"), EdgeId("edg_b"))
NewPlace = Callable[[], str]
Store = SqlSessionStore | RedisSessionStore
Opener = Callable[[], Awaitable[Store]]
reopening = partial(sql_or_redis_opener, SqlSessionStore, RedisSessionStore)


@pytest.fixture(params=SQL_OR_REDIS)
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> NewPlace:
    """Tells a new URL, at which nothing is kept yet, at each call."""
    return partial(database_url, request.param, tmp_path, "playback")


@pytest.fixture
def url(new_place: NewPlace) -> str:
    return new_place()


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[Opener]:
    """Opens the same tables again: a second opener is a second process's view of them."""
    async with reopening(url) as opened:
        yield opened


def session(name: str, **fields: Any) -> StoredSession:
    defaults: dict[str, Any] = {
        "account_id": ids.derive(AccountId, name),
        "profile_id": ids.derive(ProfileId, name),
        "device_id": ids.derive(DeviceId, name),
        "title_id": ids.derive(TitleId, name),
        "asset_id": ids.derive(AssetId, name),
        "original_language": "en",
        "capabilities": Capabilities(video=("avc1", "av01"), hdr=True),
        "duration_ms": 60_000,
        "client_ip": "2001:db8::1",
        "started_at": NOW,
        "last_seen_at": NOW,
        "expires_at": NOW + timedelta(hours=12),
        "position_ms": 0,
    }
    return StoredSession(**{"session_id": ids.derive(PlaySessionId, name), **defaults, **fields})


async def relay_records(store: Store) -> list[bytes]:
    found: list[bytes] = []

    async def append(records: list[bytes]) -> None:
        found.extend(records)

    await store.outbox.relay(append)
    return found


async def test_session_survives_reopening(open_store: Opener) -> None:
    one = session("a")
    await (await open_store()).create(session=one, records=[b"started"])
    again = await open_store()
    assert await again.find(session_id=one.session_id) == one
    assert await again.find(session_id=ids.derive(PlaySessionId, "none")) is None
    assert await relay_records(again) == [b"started"]


async def test_moves_change_position_and_time(open_store: Opener) -> None:
    store = await open_store()
    one = session("a")
    await store.create(session=one, records=[])
    later = NOW + timedelta(seconds=30)
    assert await store.move(session_id=one.session_id, position_ms=30_000, now=later, records=[b"heartbeat"])
    await store.set_edges(session_id=one.session_id, avoid=(EdgeId("edg_b"), EdgeId("edg_a")), served=SERVED, now=later)
    moved = replace(
        one, position_ms=30_000, last_seen_at=later, avoid=(EdgeId("edg_b"), EdgeId("edg_a")), served=SERVED
    )
    assert await (await open_store()).find(session_id=one.session_id) == moved
    assert await relay_records(store) == [b"heartbeat"]


async def test_latest_of_two_moves_stays(open_store: Opener) -> None:
    store = await open_store()
    one = session("a")
    await store.create(session=one, records=[])
    late, later = NOW + timedelta(seconds=30), NOW + timedelta(seconds=31)
    assert await store.move(session_id=one.session_id, position_ms=31_000, now=later, records=[b"newer"])
    assert await store.move(session_id=one.session_id, position_ms=30_000, now=late, records=[b"older"])
    await store.set_edges(session_id=one.session_id, avoid=(EdgeId("edg_a"),), served=SERVED, now=late)
    assert await store.find(session_id=one.session_id) == replace(
        one, position_ms=31_000, last_seen_at=later, avoid=(EdgeId("edg_a"),), served=SERVED
    )
    assert await relay_records(store) == [b"newer", b"older"]


async def test_time_from_a_clock_that_was_ahead_does_not_stay(open_store: Opener) -> None:
    store = await open_store()
    one, other = session("a", last_seen_at=NOW + timedelta(hours=5)), session("b")
    for each in (one, other):
        await store.create(session=each, records=[])
    late = NOW + timedelta(seconds=30)
    since = late - timedelta(minutes=10)
    assert [s.session_id for s in await store.list_idle(since=since, now=late, limit=9)] == [one.session_id]
    assert await store.move(session_id=one.session_id, position_ms=31_000, now=late, records=[])
    assert await store.find(session_id=one.session_id) == replace(one, position_ms=31_000, last_seen_at=late)
    assert await store.list_idle(since=since, now=late, limit=9) == []


async def test_ended_session_does_not_change(open_store: Opener) -> None:
    store = await open_store()
    one = session("a")
    await store.create(session=one, records=[])
    assert await store.close(session_id=one.session_id, position_ms=5_000, now=NOW, records=[b"ended"])
    later = NOW + timedelta(minutes=1)
    assert not await store.move(session_id=one.session_id, position_ms=9_000, now=later, records=[b"heartbeat"])
    assert not await store.close(session_id=one.session_id, position_ms=9_000, now=later, records=[b"ended again"])
    await store.set_edges(session_id=one.session_id, avoid=(EdgeId("edg_a"),), served=SERVED, now=later)
    assert await store.find(session_id=one.session_id) == replace(one, position_ms=5_000, ended_at=NOW)
    assert await relay_records(store) == [b"ended"]
    assert not await store.move(
        session_id=ids.derive(PlaySessionId, "none"), position_ms=0, now=NOW, records=[b"heartbeat"]
    )


async def test_open_sessions_of_an_account_are_listed(open_store: Opener) -> None:
    store = await open_store()
    ada, bob = ids.derive(AccountId, "ada"), ids.derive(AccountId, "bob")
    for name, account_id, minute in (("a", ada, 2), ("b", ada, 1), ("c", bob, 0), ("over", ada, 0)):
        at = NOW + timedelta(minutes=minute)
        await store.create(session=session(name, account_id=account_id, last_seen_at=at), records=[])
    await store.close(session_id=ids.derive(PlaySessionId, "over"), position_ms=0, now=NOW, records=[])
    found = await (await open_store()).list_open(account_id=ada, limit=10)
    assert [one.session_id for one in found] == [ids.derive(PlaySessionId, name) for name in ("b", "a")]
    assert await store.list_open(account_id=ids.derive(AccountId, "none"), limit=10) == []
    assert len(await store.list_open(account_id=ada, limit=1)) == 1


async def test_concurrent_closes_end_it_once(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    one = session("a")
    await stores[0].create(session=one, records=[])
    tries = (
        stores[at % 2].close(session_id=one.session_id, position_ms=at, now=NOW, records=[b"ended %d" % at])
        for at in range(20)
    )
    assert sum(await asyncio.gather(*tries)) == 1
    assert len(await relay_records(stores[1])) == 1


async def test_idle_sessions_are_listed_longest_idle_first(open_store: Opener) -> None:
    store = await open_store()
    for name, idle_min in (("a", 5), ("b", 20), ("c", 11), ("over", 60)):
        await store.create(session=session(name, last_seen_at=NOW - timedelta(minutes=idle_min)), records=[])
    await store.close(session_id=ids.derive(PlaySessionId, "over"), position_ms=0, now=NOW, records=[])
    since = NOW - timedelta(minutes=10)
    assert [s.session_id for s in await store.list_idle(since=since, now=NOW, limit=10)] == [
        ids.derive(PlaySessionId, n) for n in ("b", "c")
    ]
    assert len(await store.list_idle(since=since, now=NOW, limit=1)) == 1


async def test_only_sessions_that_ended_before_are_deleted(open_store: Opener) -> None:
    store = await open_store()
    for name in ("open", "over", "just over"):
        await store.create(session=session(name), records=[])
    await store.close(session_id=ids.derive(PlaySessionId, "over"), position_ms=0, now=NOW, records=[])
    await store.close(
        session_id=ids.derive(PlaySessionId, "just over"), position_ms=0, now=NOW + timedelta(hours=1), records=[]
    )
    assert await store.delete_ended(before=NOW + timedelta(hours=1)) == 1
    assert await store.find(session_id=ids.derive(PlaySessionId, "over")) is None
    for name in ("open", "just over"):
        assert await store.find(session_id=ids.derive(PlaySessionId, name)) is not None


_WRITER = """
import asyncio, sys
from test_play_session_store import reopening, session

async def write():
    async with reopening(sys.argv[1]) as reopen:
        store = await reopen()
        at = 0
        while True:
            names = [f"{at + n}" for n in range(8)]
            await asyncio.gather(*(store.create(session=session(name), records=[name.encode()]) for name in names))
            print(*names, flush=True)
            at += 8

asyncio.run(write())
"""


async def test_killed_writer_leaves_consistent_sessions_and_facts(open_store: Opener, url: str) -> None:
    store = await open_store()
    here = Path(__file__)
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(map(str, (here.parent, here.parents[2], here.parents[2] / "src"))),
    }
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, url, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    lines = [await writer.stdout.readline() for _ in range(5)]
    writer.kill()
    lines += (await writer.stdout.read()).splitlines()
    await writer.wait()
    facts = [fact.decode() for fact in await relay_records(store)]
    assert {name for line in lines for name in line.decode().split()} <= set(facts)
    for name in facts:
        assert await store.find(session_id=ids.derive(PlaySessionId, name)) == session(name)
    unknown = [ids.derive(PlaySessionId, str(at)) for at in range(64) if str(at) not in facts]
    assert not any([await store.find(session_id=session_id) for session_id in unknown])


steps = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["move", "steer", "close"]),
        st.integers(min_value=0, max_value=60_000),
    ),
    max_size=20,
)


@given(steps=steps)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_behaves_like_a_plain_dict(new_place: NewPlace, steps: list[tuple[str, str, int]]) -> None:
    url = new_place()
    kept = {name: session(name) for name in "abc"}
    facts: list[bytes] = []
    async with reopening(url) as reopen:
        store = await reopen()
        for one in kept.values():
            await store.create(session=one, records=[])
        for at, (name, step, figure) in enumerate(steps):
            now, fact = NOW + timedelta(seconds=at), b"fact %d" % at
            before = kept[name]
            kept[name] = _apply_step(before, step, figure, now)
            facts += [fact] if before.ended_at is None and step != "steer" else []
            await _take(store, before.session_id, step, figure, now, fact)
    async with reopening(url) as reopen:
        store = await reopen()
        assert {name: await store.find(session_id=one.session_id) for name, one in kept.items()} == kept
        assert await relay_records(store) == facts


def _apply_step(one: StoredSession, step: str, figure: int, now: datetime) -> StoredSession:
    if one.ended_at is not None:
        return one
    if step == "steer":
        return replace(one, avoid=(EdgeId(str(figure)),), served=SERVED, last_seen_at=now)
    ended_at = now if step == "close" else None
    return replace(one, position_ms=figure, last_seen_at=now, ended_at=ended_at)


async def _take(store: Store, session_id: PlaySessionId, step: str, figure: int, now: datetime, fact: bytes) -> None:
    if step == "steer":
        await store.set_edges(session_id=session_id, avoid=(EdgeId(str(figure)),), served=SERVED, now=now)
    elif step == "move":
        await store.move(session_id=session_id, position_ms=figure, now=now, records=[fact])
    else:
        await store.close(session_id=session_id, position_ms=figure, now=now, records=[fact])
