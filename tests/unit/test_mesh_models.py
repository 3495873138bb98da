"""The mesh's rules: how many calls at once, which instance, how often again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.balance import Breaker, Peers
from matinee.mesh.limit import ConcurrencyLimit, Usual
from matinee.mesh.retry import RetryBudget, pause_s


def instance(name: str, *, draining: bool = False, services: tuple[str, ...] = ("s",)) -> Instance:
    return Instance(instance_id=InstanceId(name), address=f"http://{name}", services=services, draining=draining)


def run_full(limit: ConcurrencyLimit, stretch: float, rounds: int = 100) -> int:
    """Rounds in which every place is taken and every call is stretched so much."""
    for _ in range(rounds):
        while limit.enter():
            pass
        for _ in range(limit.in_flight):
            limit.leave(stretch)
    return limit.limit


class TestLimit:
    def test_no_more_than_the_limit_at_once(self) -> None:
        limit = ConcurrencyLimit(start=3)
        assert [limit.enter() for _ in range(4)] == [True, True, True, False]
        limit.leave()
        assert limit.enter()

    def test_grows_while_calls_take_their_usual_time(self) -> None:
        assert run_full(ConcurrencyLimit(start=64), 1.0) > 128

    def test_shrinks_when_calls_stretch_and_recovers(self) -> None:
        limit = ConcurrencyLimit(start=64)
        assert run_full(limit, 10.0) == 8
        assert run_full(limit, 1.0) > 16

    def test_learns_nothing_while_idle(self) -> None:
        limit = ConcurrencyLimit(start=64)
        for _ in range(1000):
            assert limit.enter()
            limit.leave(50.0)
        assert limit.limit == 64

    @given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 1e9))))
    def test_stays_within_its_bounds(self, moves: list[tuple[bool, float | None]]) -> None:
        limit = ConcurrencyLimit(start=16, least=4, most=32)
        for enters, stretch in moves:
            if enters:
                assert limit.enter() or limit.in_flight >= limit.limit
            elif limit.in_flight:
                limit.leave(stretch)
            assert 4 <= limit.limit <= 32

    def test_one_slow_call_does_not_become_usual(self) -> None:
        usual = Usual()
        for _ in range(100):
            usual.stretch(0.010)
        assert usual.stretch(10.0) == pytest.approx(1000, rel=0.1)
        assert usual.seconds < 0.012


class TestBreaker:
    def opened(self) -> Breaker:
        breaker = Breaker(threshold=3, pause_s=1.0, longest_s=4.0)
        for _ in range(3):
            assert breaker.allows(10.0)
            breaker.begin()
            breaker.fail(10.0)
        return breaker

    def test_opens_after_failures_in_a_row(self) -> None:
        assert not self.opened().allows(10.9)

    def test_a_success_between_starts_the_count_again(self) -> None:
        breaker = Breaker(threshold=2)
        for _ in range(5):
            breaker.fail(0.0)
            breaker.succeed()
        assert breaker.allows(0.0)

    def test_one_probe_at_a_time(self) -> None:
        breaker = self.opened()
        assert breaker.allows(11.0)
        breaker.begin()
        assert not breaker.allows(11.0)
        breaker.succeed()
        assert breaker.allows(11.0)
        assert not breaker.is_open

    def test_a_cancelled_probe_lets_another_through(self) -> None:
        breaker = self.opened()
        breaker.begin()
        breaker.abstain()
        assert breaker.allows(11.0)

    def test_each_failed_probe_doubles_the_pause_up_to_the_longest(self) -> None:
        breaker, now_s, pauses = self.opened(), 11.0, []
        for _ in range(4):
            breaker.begin()
            breaker.fail(now_s)
            opens_s = next(s / 10 for s in range(int(now_s * 10), 1000) if breaker.allows(s / 10))
            pauses.append(opens_s - now_s)
            now_s = opens_s
        assert pauses == [2.0, 4.0, 4.0, 4.0]


class TestPeers:
    def test_the_less_loaded_of_two_is_taken(self) -> None:
        peers = Peers()
        peers.follow((instance("a"), instance("b")))
        first = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert first is not None
        first.in_flight += 1
        second = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert second is not first

    def test_load_spreads_over_many(self) -> None:
        peers, rng = Peers(), Random(7)
        peers.follow(tuple(instance(str(n)) for n in range(10)))
        taken = [peers.pick("s", avoid=(), now_s=0, rng=rng) for _ in range(100)]
        for peer in taken:
            assert peer is not None
            peer.in_flight += 1
        picked = {peer.instance.instance_id for peer in taken if peer}
        assert len(picked) == 10

    def test_a_slow_one_gets_less(self) -> None:
        peers, rng = Peers(), Random(7)
        peers.follow((instance("slow"), instance("fast")))
        counts = {"slow": 0, "fast": 0}
        for _ in range(100):
            peer = peers.pick("s", avoid=(), now_s=0, rng=rng)
            assert peer is not None
            counts[peer.instance.instance_id] += 1
            peer.took(1.0 if peer.instance.instance_id == "slow" else 0.01, 0)
        assert counts["fast"] > 90

    def test_one_that_was_slow_is_tried_again_in_time(self) -> None:
        peers = Peers()
        peers.follow((instance("a"), instance("b")))
        slow = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert slow is not None
        slow.took(1.0, 0)
        other = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert other is not None
        assert other is not slow
        other.took(0.01, 60)
        assert peers.pick("s", avoid=(), now_s=60, rng=Random(1)) is slow

    def test_draining_and_foreign_ones_get_nothing(self) -> None:
        peers = Peers()
        peers.follow((instance("a", draining=True), instance("b", services=("other",))))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is None

    def test_one_already_tried_is_taken_only_when_there_is_no_other(self) -> None:
        peers = Peers()
        peers.follow((instance("a"), instance("b")))
        first = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert first is not None
        other = peers.pick("s", avoid=[first], now_s=0, rng=Random(1))
        assert other is not None
        assert other is not first
        assert peers.pick("s", avoid=[first, other], now_s=0, rng=Random(1)) is not None

    def test_what_is_known_of_a_peer_stays_while_it_is_listed(self) -> None:
        peers = Peers()
        peers.follow((instance("a"),))
        peer = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        peers.follow((instance("a"), instance("b")))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is not None
        peers.follow((instance("a"),))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is peer

    def test_one_that_turned_a_call_away_stays_aside_until_it_registers_anew(self) -> None:
        peers = Peers()
        peers.follow((instance("a"),))
        peer = peers.pick("s", avoid=(), now_s=0, rng=Random(1))
        assert peer is not None
        peer.draining = True
        for seen in ((instance("a"), instance("b", draining=True)), (instance("a", draining=True),)):
            peers.follow(seen)
            assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is None
        peers.follow((instance("a"),))
        assert peers.pick("s", avoid=(), now_s=0, rng=Random(1)) is peer


class TestRetries:
    def test_a_budget_holds_retries_to_a_share_of_calls(self) -> None:
        budget = RetryBudget(share=0.1, most=5.0)
        retries = 0
        for _ in range(1000):
            budget.earn()
            retries += budget.spend()
        assert retries <= 105
        assert retries >= 95

    @given(st.integers(1, 6), st.floats(0, 1, exclude_max=True))
    def test_pauses_double_and_spread(self, attempt: int, draw: float) -> None:
        middle = 0.025 * 2 ** (attempt - 1)
        assert 0.5 * middle <= pause_s(attempt, draw) <= 1.5001 * middle
