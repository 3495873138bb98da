"""The rules of steering: health, shares, ranks and the estimate of failures."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.clock import ManualClock
from matinee.kit.ids import EdgeId
from matinee.kit.network import to_network
from matinee.steering.api import EdgeReport, Health
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

NOW = ManualClock().now()


def report(name: str, **more: Any) -> EdgeReport:
    return EdgeReport(edge_id=EdgeId(f"edg_{name}"), name=name, base_url=f"http://{name}", **more)


def candidate(name: str, **more: Any) -> Candidate:
    found = to_candidate(FleetMember(report=report(name, **more), last_seen_at=NOW), "healthy")
    assert found is not None
    return found


def order(edges: list[Candidate], network: str = "10.0.0.0/24", **more: Any) -> list[str]:
    options: dict[str, Any] = {"region": "local", "avoid": (), "experiences": {}, "now_s": 0.0, "limit": 99, **more}
    return [e.edge_id for e in rank(edges, network=network, **options)]


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
