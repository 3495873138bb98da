"""The suite of `FleetStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL, database_url, store_opener

from matinee.kit.clock import ManualClock
from matinee.kit.ids import EdgeId
from matinee.steering.adapters.sql import SqlFleetStore
from matinee.steering.api import EdgeReport
from matinee.steering.model import FleetMember
from matinee.steering.ports import FleetStore

Opener = Callable[[], Awaitable[FleetStore]]
START = ManualClock().now()


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "fleet")


@pytest.fixture
async def reopen(url: str) -> AsyncIterator[Opener]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlFleetStore, url) as opened:
        yield opened


def member(name: str, at_s: float = 0, **more: object) -> FleetMember:
    report = EdgeReport(edge_id=EdgeId(name), name=name, base_url=f"http://{name}", **more)  # type: ignore[arg-type]
    return FleetMember(report=report, last_seen_at=START + timedelta(seconds=at_s))


async def load_all(store: FleetStore) -> dict[str, FleetMember]:
    return {m.report.edge_id: m for m in await store.load(START - timedelta(days=9))}


async def test_saved_edges_are_loaded_after_a_reopen(reopen: Opener) -> None:
    members = [member("a", 1, load=0.25, hits=2**40), member("b", 2, region="eu")]
    await (await reopen()).save(members)
    assert await load_all(await reopen()) == {"a": members[0], "b": members[1]}


async def test_an_older_report_changes_nothing(reopen: Opener) -> None:
    store = await reopen()
    await store.save([member("a", 10, hits=10)])
    await store.save([member("a", 5, hits=5)])
    assert (await load_all(store))["a"].report.hits == 10


async def test_a_report_of_a_clock_that_was_ahead_is_replaced(reopen: Opener) -> None:
    store = await reopen()
    await store.save([member("a", 5 * 3600, hits=10)])
    await store.save([member("a", 5, hits=5)])
    assert (await load_all(store))["a"] == member("a", 5, hits=5)


async def test_an_empty_store_has_no_edges(reopen: Opener) -> None:
    store = await reopen()
    await store.save([])
    assert await store.load(START) == []
    assert not await store.set_draining(EdgeId("a"), True)


async def test_draining_stays_when_reports_are_saved(reopen: Opener) -> None:
    store = await reopen()
    await store.save([member("a", 1)])
    assert await store.set_draining(EdgeId("a"), True)
    assert await store.set_draining(EdgeId("a"), True)
    await store.save([member("a", 2), member("b", 2)])
    assert {name: m.draining for name, m in (await load_all(await reopen())).items()} == {"a": True, "b": False}


async def test_inactive_edges_are_not_loaded_and_can_be_deleted(reopen: Opener) -> None:
    store = await reopen()
    await store.save([member("a", 1), member("b", 5), member("c", 9)])
    since = START + timedelta(seconds=5)
    assert {m.report.edge_id for m in await store.load(since)} == {"b", "c"}
    await store.delete_inactive(since)
    assert set(await load_all(await reopen())) == {"b", "c"}


async def test_concurrent_saves_leave_the_newest_report(reopen: Opener) -> None:
    one, other = await reopen(), await reopen()
    await one.save([member("a", 0)])
    await asyncio.gather(*(store.save([member("a", n)]) for n, store in enumerate([one, other] * 10)))
    assert (await load_all(one))["a"].last_seen_at == START + timedelta(seconds=19)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.dictionaries(st.sampled_from("abc"), st.integers(0, 20), max_size=3)),
        st.tuples(st.just("drain"), st.tuples(st.sampled_from("abc"), st.booleans())),
        st.tuples(st.just("delete"), st.integers(0, 20)),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_the_store_agrees_with_a_dict(reopen: Opener, steps: list[tuple[str, object]]) -> None:
    store = await reopen()
    await store.delete_inactive(START + timedelta(days=1))
    plain: dict[str, FleetMember] = {}
    for step in steps:
        await _run_step(store, plain, step)
    assert await load_all(store) == plain


async def _run_step(store: FleetStore, plain: dict[str, FleetMember], step: tuple[str, object]) -> None:
    match step:
        case ("save", dict(heartbeats)):
            members = [member(name, at_s) for name, at_s in heartbeats.items()]
            await store.save(members)
            for m in members:
                old = plain.get(m.report.edge_id)
                if old is None:
                    plain[m.report.edge_id] = m
                elif old.last_seen_at <= m.last_seen_at:
                    plain[m.report.edge_id] = msgspec.structs.replace(m, draining=old.draining)
        case ("drain", (str(name), bool(draining))):
            assert await store.set_draining(EdgeId(name), draining) == (name in plain)
            if name in plain:
                plain[name] = msgspec.structs.replace(plain[name], draining=draining)
        case ("delete", int(at_s)):
            before = START + timedelta(seconds=at_s)
            await store.delete_inactive(before)
            for name in [n for n, m in plain.items() if m.last_seen_at < before]:
                del plain[name]
