"""The models of the mesh: concurrency limit, choice of an instance, retries."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.balance import Peers
from matinee.mesh.limit import ConcurrencyLimit, TypicalDuration
from matinee.mesh.retry import RetryBudget, pause_s


def instance(name: str, *, draining: bool = False, services: tuple[str, ...] = ("s",)) -> Instance:
    return Instance(instance_id=InstanceId(name), address=f"http://{name}", services=services, draining=draining)


def run_full(limit: ConcurrencyLimit, slowdown: float, rounds: int = 100) -> int:
    """Fill the limit for some rounds, with every call slowed down by a factor."""
    for _ in range(rounds):
        while limit.acquire():
            pass
        for _ in range(limit.in_flight):
            limit.release(slowdown)
    return limit.limit


class TestLimit:
    def test_calls_above_the_limit_are_refused(self) -> None:
        limit = ConcurrencyLimit(initial=3)
        assert [limit.acquire() for _ in range(4)] == [True, True, True, False]
        limit.release()
        assert limit.acquire()

    def test_grows_while_durations_are_typical(self) -> None:
        assert run_full(ConcurrencyLimit(initial=64), 1.0) > 128

    def test_shrinks_when_calls_slow_down_and_recovers(self) -> None:
        limit = ConcurrencyLimit(initial=64)
        assert run_full(limit, 10.0) == 8
        assert run_full(limit, 1.0) > 16

    def test_is_not_adjusted_while_idle(self) -> None:
        limit = ConcurrencyLimit(initial=64)
        for _ in range(1000):
            assert limit.acquire()
            limit.release(50.0)
        assert limit.limit == 64

    @given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 1e9))))
    def test_stays_within_its_bounds(self, moves: list[tuple[bool, float | None]]) -> None:
        limit = ConcurrencyLimit(initial=16, minimum=4, maximum=32)
        for acquires, slowdown in moves:
            if acquires:
                assert limit.acquire() or limit.in_flight >= limit.limit
            elif limit.in_flight:
                limit.release(slowdown)
            assert 4 <= limit.limit <= 32

    def test_one_slow_call_hardly_changes_the_typical_duration(self) -> None:
        typical = TypicalDuration()
        for _ in range(100):
            typical.slowdown(0.010)
        assert typical.slowdown(10.0) == pytest.approx(1000, rel=0.1)
        assert typical.seconds < 0.012


class TestPeers:
    def test_the_less_loaded_of_two_is_picked(self) -> None:
        peers = Peers()
        peers.update((instance("a"), instance("b")))
        first = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert first is not None
        first.in_flight += 1
        second = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert second is not first

    def test_load_is_spread_over_all_instances(self) -> None:
        peers, rng = Peers(), Random(7)
        peers.update(tuple(instance(str(n)) for n in range(10)))
        picked = [peers.pick("s", avoid=(), now_s=0, rng=rng) for _ in range(100)]
        for peer in picked:
            assert peer is not None
            peer.in_flight += 1
        assert len({peer.instance.instance_id for peer in picked if peer}) == 10

    def test_a_slow_instance_gets_fewer_calls(self) -> None:
        peers, rng = Peers(), Random(7)
        peers.update((instance("slow"), instance("fast")))
        counts = {"slow": 0, "fast": 0}
        for _ in range(100):
            peer = peers.pick("s", avoid=(), now_s=0, rng=rng)
            assert peer is not None
            counts[peer.instance.instance_id] += 1
            peer.observe(1.0 if peer.instance.instance_id == "slow" else 0.01, 0)
        assert counts["fast"] > 90

    def test_a_slow_instance_is_tried_again_later(self) -> None:
        peers = Peers()
        peers.update((instance("a"), instance("b")))
        slow = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert slow is not None
        slow.observe(1.0, 0)
        other = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert other is not None
        assert other is not slow
        other.observe(0.01, 60)
        assert peers.pick("s", avoid=(), now_s=60, rng=Random(1)) is slow

    def test_draining_instances_and_other_services_are_not_picked(self) -> None:
        peers = Peers()
        peers.update((instance("a", draining=True), instance("b", services=("other",))))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is None

    def test_an_avoided_instance_is_picked_only_without_another(self) -> None:
        peers = Peers()
        peers.update((instance("a"), instance("b")))
        first = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert first is not None
        other = peers.pick("s", avoid=[first], now_s=0, rng=Random(1))
        assert other is not None
        assert other is not first
        assert peers.pick("s", avoid=[first, other], now_s=0, rng=Random(1)) is not None

    def test_the_state_of_a_listed_instance_is_kept(self) -> None:
        peers = Peers()
        peers.update((instance("a"),))
        peer = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        peers.update((instance("a"), instance("b")))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is not None
        peers.update((instance("a"),))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is peer

    def test_an_instance_that_refused_while_draining_is_not_picked_until_it_registers_again(self) -> None:
        peers = Peers()
        peers.update((instance("a"),))
        peer = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert peer is not None
        peer.draining = True
        for listed in ((instance("a"), instance("b", draining=True)), (instance("a", draining=True),)):
            peers.update(listed)
            assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is None
        peers.update((instance("a"),))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is peer


class TestRetries:
    def test_a_budget_limits_retries_to_a_share_of_calls(self) -> None:
        budget = RetryBudget(share=0.1, maximum=5.0)
        retries = 0
        for _ in range(1000):
            budget.earn()
            retries += budget.spend()
        assert retries <= 105
        assert retries >= 95

    @given(st.integers(1, 6), st.floats(0, 1, exclude_max=True))
    def test_pauses_double_with_jitter(self, attempt: int, draw: float) -> None:
        middle = 0.025 * 2 ** (attempt - 1)
        assert 0.5 * middle <= pause_s(attempt, draw) <= 1.5001 * middle
