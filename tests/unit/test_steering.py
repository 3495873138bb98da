"""The service of steering on a real store."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from matinee.drivers.sql import Database
from matinee.kit.clock import ManualClock
from matinee.kit.ids import EdgeId
from matinee.steering.adapters.sql import SqlFleetStore
from matinee.steering.api import EdgeNotFound, EdgeReport, NoEdge
from matinee.steering.model import (
    FleetMember,
)
from matinee.steering.service import SteeringService


def report(name: str) -> EdgeReport:
    return EdgeReport(edge_id=EdgeId(f"edg_{name}"), name=name, base_url=f"http://{name}")


async def open_service(path: Path, clock: ManualClock) -> tuple[Database, SteeringService]:
    database = await Database(f"sqlite:///{path}/steering.db").__aenter__()
    return database, SteeringService(fleet=await open_fleet(database), clock=clock)


async def open_fleet(database: Database, *, is_shared: bool = True) -> SqlFleetStore:
    """Open a store that, as one on MariaDB, several instances may use."""
    fleet = await SqlFleetStore.open(database)
    fleet.is_shared = is_shared
    return fleet


async def test_ranking_without_live_edges_raises_no_edge(tmp_path: Path) -> None:
    clock = ManualClock()
    database, steering = await open_service(tmp_path, clock)
    with pytest.raises(NoEdge):
        await steering.rank(client_ip="192.0.2.1")
    assert await steering.heartbeat(report=report("a")) == "healthy"
    assert [e.base_url for e in await steering.rank(client_ip="192.0.2.1")] == ["http://a"]
    clock.advance(seconds=8)
    assert [e.health for e in await steering.list_edges()] == ["degraded"]
    assert await steering.rank(client_ip="nonsense")
    clock.advance(seconds=8)
    with pytest.raises(NoEdge):
        await steering.rank(client_ip="192.0.2.1")
    await database.__aexit__()


async def test_a_registration_survives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    database, steering = await open_service(tmp_path, clock)
    await steering.heartbeat(report=report("a"))
    await database.__aexit__()
    clock.advance(seconds=20)
    database, steering = await open_service(tmp_path, clock)
    assert [e.edge_id for e in await steering.rank(client_ip="192.0.2.1")] == ["edg_a"]
    await database.__aexit__()


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_edges_of_a_clock_that_was_ahead_become_unavailable(tmp_path: Path, is_restarted: bool) -> None:
    clock = ManualClock()
    clock.advance(hours=5)
    database, steering = await open_service(tmp_path, clock)
    for name in ("dead", "alive"):
        await steering.heartbeat(report=report(name))
        for _ in range(9):
            await steering.observe(client_ip="192.0.2.1", edge_id=EdgeId(f"edg_{name}"), succeeded=name == "dead")
    clock.advance(hours=-5)
    if is_restarted:
        await database.__aexit__()
        database, steering = await open_service(tmp_path, clock)
    for _ in range(8):
        await steering.synchronise()
        await steering.heartbeat(report=report("alive"))
        assert await steering.rank(client_ip="192.0.2.1")
        clock.advance(seconds=2)
    await steering.synchronise()
    assert [(e.report.edge_id, e.health) for e in await steering.list_edges()] == [
        ("edg_alive", "healthy"),
        ("edg_dead", "unavailable"),
    ]
    assert [e.score for e in await steering.rank(client_ip="192.0.2.1")] == [0.0]
    await database.__aexit__()


async def test_two_instances_exchange_their_edges(tmp_path: Path) -> None:
    clock = ManualClock()
    one_database, one = await open_service(tmp_path, clock)
    other_database, other = await open_service(tmp_path, clock)
    await one.heartbeat(report=report("a"))
    await other.heartbeat(report=report("b"))
    await one.synchronise()
    assert {e.edge_id for e in await one.rank(client_ip="192.0.2.1")} == {"edg_a", "edg_b"}
    for _ in range(10):  # each instance receives the heartbeats of one edge; both edges stay healthy in both instances
        clock.advance(seconds=2)
        await one.heartbeat(report=report("a"))
        await other.heartbeat(report=report("b"))
        await one.synchronise()
        await other.synchronise()
        await one.synchronise()
    assert (
        [e.health for e in await one.list_edges()]
        == [e.health for e in await other.list_edges()]
        == ["healthy", "healthy"]
    )
    await one_database.__aexit__()
    await other_database.__aexit__()


async def test_a_draining_edge_is_last_in_every_instance(tmp_path: Path) -> None:
    clock = ManualClock()
    one_database, one = await open_service(tmp_path, clock)
    other_database, other = await open_service(tmp_path, clock)
    for name in ("a", "b"):
        await one.heartbeat(report=report(name))
    assert (await other.drain(edge_id=EdgeId("edg_a"), draining=True)).health == "draining"
    await one.synchronise()
    assert await one.heartbeat(report=report("a")) == "draining"
    for n in range(20):
        assert [e.edge_id for e in await one.rank(client_ip=f"192.0.{n}.1")] == ["edg_b", "edg_a"]
    assert (await one.drain(edge_id=EdgeId("edg_a"), draining=False)).health == "healthy"
    with pytest.raises(EdgeNotFound):
        await one.drain(edge_id=EdgeId("edg_none"), draining=True)
    await one_database.__aexit__()
    await other_database.__aexit__()


async def test_failed_requests_lower_the_rank_in_their_network(tmp_path: Path) -> None:
    clock = ManualClock()
    database, steering = await open_service(tmp_path, clock)
    for name in ("a", "b"):
        await steering.heartbeat(report=report(name))
    best = (await steering.rank(client_ip="192.0.2.1"))[0].edge_id
    for _ in range(3):
        await steering.observe(client_ip="192.0.2.9", edge_id=best, succeeded=False, latency_ms=-5)
    await steering.observe(client_ip="192.0.2.9", edge_id=EdgeId("edg_unknown"), succeeded=False)
    assert (await steering.rank(client_ip="192.0.2.1"))[0].edge_id != best
    await database.__aexit__()


async def test_false_failures_of_one_network_change_nothing_for_others(tmp_path: Path) -> None:
    clock = ManualClock()
    database, steering = await open_service(tmp_path, clock)
    for name in ("a", "b"):
        await steering.heartbeat(report=report(name))
    clients = [f"10.{number}.0.1" for number in range(40)]

    async def rank_all() -> list[EdgeId]:
        clock.advance(seconds=1)  # candidates are kept for half a second
        return [(await steering.rank(client_ip=client))[0].edge_id for client in clients]

    before = await rank_all()
    for _ in range(20):
        await steering.observe(client_ip="192.0.2.9", edge_id=EdgeId("edg_a"), succeeded=False)
    assert await rank_all() == before
    assert (await steering.rank(client_ip="192.0.2.9"))[0].edge_id == "edg_b"
    for client in clients[:10]:  # an edge that fails for many networks is avoided by all
        await steering.observe(client_ip=client, edge_id=EdgeId("edg_a"), succeeded=False)
    assert set(await rank_all()) == {"edg_b"}
    await database.__aexit__()


async def test_an_edge_without_heartbeats_is_deleted_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    database, steering = await open_service(tmp_path, clock)
    await steering.heartbeat(report=report("a"))
    clock.advance(hours=25)
    assert await steering.list_edges() == []
    await steering.delete_inactive()
    await steering.synchronise()
    with pytest.raises(EdgeNotFound):
        await steering.drain(edge_id=EdgeId("edg_a"), draining=True)
    await database.__aexit__()


class UnavailableStore:
    """A store that fails at every call."""

    is_shared = True

    async def save(self, members: list[FleetMember]) -> None:
        raise OSError("unavailable")

    async def load(self, since: datetime) -> list[FleetMember]:
        raise OSError("unavailable")

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        raise OSError("unavailable")

    async def delete_inactive(self, before: datetime) -> None:
        raise OSError("unavailable")


async def test_ranking_continues_while_the_store_is_unavailable() -> None:
    steering = SteeringService(fleet=UnavailableStore(), clock=ManualClock())
    assert await steering.heartbeat(report=report("a")) == "healthy"
    assert [e.edge_id for e in await steering.rank(client_ip="192.0.2.1")] == ["edg_a"]


async def test_single_instance_stores_heartbeats_seldom(tmp_path: Path) -> None:
    """A new edge is stored at once, and the rest is for a later start, which trusts a heartbeat for a minute."""
    clock = ManualClock()
    async with Database(f"sqlite:///{tmp_path}/steering.db") as database:
        fleet = await open_fleet(database, is_shared=False)
        steering, saved = SteeringService(fleet=fleet, clock=clock), []
        for second in range(95):
            await steering.heartbeat(report=report("a"))
            await steering.synchronise()
            (stored,) = await fleet.load(clock.now() - timedelta(days=1))
            if not saved or saved[-1][1] != stored.last_seen_at:
                saved.append((second, stored.last_seen_at))
            clock.advance(seconds=1)
        assert [second for second, _ in saved] == [0, 30, 60, 90]
        clock.advance(seconds=20)
        again = SteeringService(fleet=fleet, clock=clock)
        assert [edge.edge_id for edge in await again.rank(client_ip="192.0.2.1")] == ["edg_a"]
        await steering.drain(edge_id=EdgeId("edg_a"), draining=True)
        assert (await fleet.load(clock.now() - timedelta(days=1)))[0].draining


class SwitchableStore:
    """A store that can become unavailable."""

    is_shared = True

    def __init__(self, store: SqlFleetStore) -> None:
        self.inner: SqlFleetStore | UnavailableStore = store
        self.store = store

    async def save(self, members: list[FleetMember]) -> None:
        await self.inner.save(members)

    async def load(self, since: datetime) -> list[FleetMember]:
        return await self.inner.load(since)

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        return await self.inner.set_draining(edge_id, draining)

    async def delete_inactive(self, before: datetime) -> None:
        await self.inner.delete_inactive(before)


async def test_edges_of_other_instances_are_degraded_while_the_store_is_unavailable(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Database(f"sqlite:///{tmp_path}/steering.db") as database:
        fleet = SwitchableStore(await open_fleet(database))
        one, other = SteeringService(fleet=fleet, clock=clock), SteeringService(fleet=fleet.store, clock=clock)
        await other.heartbeat(report=report("dead"))
        clock.advance(seconds=30)
        await one.heartbeat(report=report("a"))
        await other.heartbeat(report=report("b"))
        await one.synchronise()
        fleet.inner = UnavailableStore()
        for _ in range(15):
            clock.advance(seconds=2)
            await one.heartbeat(report=report("a"))
            await one.synchronise()
        assert [e.edge_id for e in await one.rank(client_ip="192.0.2.1")] == ["edg_a", "edg_b"]
        assert {e.report.edge_id: e.health for e in await one.list_edges()} == {
            "edg_a": "healthy",
            "edg_b": "degraded",
            "edg_dead": "unavailable",
        }
        fleet.inner = fleet.store
        await one.synchronise()
        assert [e.edge_id for e in await one.rank(client_ip="192.0.2.1")] == ["edg_a"]
