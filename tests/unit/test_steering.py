"""The rules of steering, and its service on a real store."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.sql import Database
from matinee.kit.clock import ManualClock
from matinee.kit.ids import EdgeId
from matinee.kit.network import to_network
from matinee.steering.adapters.sql import SqlFleetStore
from matinee.steering.api import EdgeNotFound, EdgeReport, Health, NoEdge
from matinee.steering.model import (
    HALF_LIFE_S,
    Candidate,
    Experience,
    FleetMember,
    add_outcome,
    assess_health,
    estimate_failures,
    rank,
    to_candidate,
)
from matinee.steering.service import SteeringService

NOW = ManualClock().now()


def report(name: str, **more: object) -> EdgeReport:
    return EdgeReport(edge_id=EdgeId(f"edg_{name}"), name=name, base_url=f"http://{name}", **more)  # type: ignore[arg-type]


def candidate(name: str, **more: object) -> Candidate:
    found = to_candidate(FleetMember(report=report(name, **more), last_seen_at=NOW), "healthy")
    assert found is not None
    return found


def order(edges: list[Candidate], network: str = "10.0.0.0/24", **more: object) -> list[str]:
    options: dict[str, object] = {
        "region": "local",
        "avoid": (),
        "experiences": {},
        "now_s": 0.0,
        "limit": 99,
        **more,
    }
    return [e.edge_id for e in rank(edges, network=network, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:", ""),
        ("999.1.1.1", ""),
    ],
)
def test_an_address_is_mapped_to_its_network(address: str, network: str) -> None:
    assert to_network(address) == network


def test_missed_heartbeats_lower_the_health() -> None:
    def after(seconds: float, **more: object) -> str:
        return assess_health(
            FleetMember(report=report("a", **more), last_seen_at=NOW), NOW + timedelta(seconds=seconds)
        )

    assert [after(0), after(6), after(7), after(10), after(11)] == [
        "healthy",
        "healthy",
        "degraded",
        "degraded",
        "unavailable",
    ]
    assert after(0, healthy=False) == "degraded"


def test_a_draining_edge_is_reported_until_it_is_unavailable() -> None:
    member = FleetMember(report=report("a"), last_seen_at=NOW, draining=True)
    assert assess_health(member, NOW) == "draining"
    assert assess_health(member, NOW + timedelta(seconds=60)) == "unavailable"


def test_health_under_its_earlier_name_is_read() -> None:
    assert msgspec.json.decode(b'"gone"', type=Health) is Health.UNAVAILABLE
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'"lost"', type=Health)


def test_heartbeats_before_the_start_do_not_count_as_missed() -> None:
    member = FleetMember(report=report("a"), last_seen_at=NOW)
    started = NOW + timedelta(seconds=30)
    assert assess_health(member, started, started) == "healthy"
    assert assess_health(member, started + timedelta(seconds=8), started) == "degraded"
    assert assess_health(member, started + timedelta(seconds=11), started) == "unavailable"
    late = NOW + timedelta(seconds=90)
    assert assess_health(member, late, late) == "unavailable"


def test_equal_edges_share_the_networks_in_a_constant_order() -> None:
    edges = [candidate(name) for name in "abcd"]
    networks = [f"10.{n // 256}.{n % 256}.0/24" for n in range(2000)]
    first = Counter(order(edges, network)[0] for network in networks)
    assert all(400 < count < 600 for count in first.values()), first
    assert all(order(edges, n) == order(list(reversed(edges)), n) for n in networks[:50])


def test_a_removed_edge_moves_only_its_own_clients() -> None:
    edges = [candidate(name) for name in "abcd"]
    for n in range(300):
        network = f"10.0.{n}.0/24"
        before = order(edges, network)
        assert order(edges[:3], network) == [edge for edge in before if edge != "edg_d"]


def test_a_busy_edge_gets_fewer_networks_and_a_full_one_none() -> None:
    edges = [candidate("idle", load=0.0), candidate("busy", load=0.7), candidate("full", load=1.0)]
    first = Counter(order(edges, f"10.0.{n}.0/24")[0] for n in range(1000))
    assert first["edg_idle"] > 2 * first["edg_busy"] > 0
    assert "edg_full" not in first


def test_edges_of_the_own_region_are_first() -> None:
    edges = [candidate("far", region="eu"), candidate("near")]
    assert all(order(edges, f"10.0.{n}.0/24")[0] == "edg_near" for n in range(50))


def test_avoided_edges_are_last() -> None:
    edges = [candidate("a"), candidate("b", load=1.0, region="eu")]
    assert order(edges, avoid=(EdgeId("edg_a"),)) == ["edg_b", "edg_a"]
    assert order(edges[:1], avoid=(EdgeId("edg_a"),)) == ["edg_a"]


def test_failures_in_a_network_lower_the_rank_for_a_time() -> None:
    edges = [candidate("a"), candidate("b")]
    experience = Experience()
    for _ in range(5):
        experience = add_outcome(experience, 0.0, succeeded=False, latency_ms=None)
    failing = {EdgeId("edg_a"): experience}
    assert all(order(edges, f"10.0.{n}.0/24", experiences=failing)[0] == "edg_b" for n in range(50))
    later = Counter(order(edges, f"10.0.{n}.0/24", experiences=failing, now_s=HALF_LIFE_S * 12)[0] for n in range(200))
    assert later["edg_a"] > 50, later


def test_a_slow_edge_is_second() -> None:
    slow = {EdgeId("edg_a"): add_outcome(Experience(), 0.0, succeeded=True, latency_ms=900)}
    assert all(
        order([candidate("a"), candidate("b")], f"10.0.{n}.0/24", experiences=slow)[0] == "edg_b" for n in range(50)
    )


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e5), st.integers(0, 10_000)), max_size=40))
def test_the_failure_estimate_is_a_share(tries: list[tuple[bool, float, int]]) -> None:
    experience, now_s = Experience(), 0.0
    for succeeded, pause_s, latency_ms in tries:
        now_s += pause_s
        experience = add_outcome(experience, now_s, succeeded=succeeded, latency_ms=latency_ms)
        assert 0.0 <= estimate_failures(experience, now_s) <= 1.0
        assert estimate_failures(experience, now_s + 60) <= estimate_failures(experience, now_s)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.floats(-1, 2), st.sampled_from(["local", "eu"])),
        unique_by=lambda e: e[0],
    ),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_every_edge_is_ranked_once_and_avoided_ones_last(
    edges: list[tuple[str, float, str]], avoided: set[str]
) -> None:
    candidates = [candidate(name, load=load, region=region) for name, load, region in edges]
    avoid = tuple(EdgeId(f"edg_{name}") for name in avoided)
    names = order(candidates, avoid=avoid)
    assert sorted(names) == sorted(f"edg_{name}" for name, _, _ in edges)
    assert names == sorted(names, key=lambda name: name in avoid)


# The service.


async def open_service(path: Path, clock: ManualClock) -> tuple[Database, SteeringService]:
    database = await Database(f"sqlite:///{path}/steering.db").__aenter__()
    return database, SteeringService(fleet=await SqlFleetStore.open(database), clock=clock)


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


class SwitchableStore:
    """A store that can become unavailable."""

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
        fleet = SwitchableStore(await SqlFleetStore.open(database))
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
