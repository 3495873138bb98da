"""The circuit breaker of instances, caches and hosts."""

from __future__ import annotations

from matinee.kit.breaker import Breaker


def open_breaker() -> Breaker:
    breaker = Breaker(threshold=3, pause_s=1.0, max_pause_s=4.0)
    for _ in range(3):
        assert breaker.allows(10.0)
        breaker.begin()
        breaker.fail(10.0)
    return breaker


def test_opens_after_failures_in_a_row() -> None:
    assert not open_breaker().allows(10.9)


def test_a_success_resets_the_count() -> None:
    breaker = Breaker(threshold=2)
    for _ in range(5):
        breaker.fail(0.0)
        breaker.succeed()
    assert breaker.allows(0.0)


def test_allows_one_probe_at_a_time() -> None:
    breaker = open_breaker()
    assert breaker.allows(11.0)
    breaker.begin()
    assert not breaker.allows(11.0)
    breaker.succeed()
    assert breaker.allows(11.0)
    assert not breaker.is_open


def test_a_cancelled_probe_allows_another() -> None:
    breaker = open_breaker()
    breaker.begin()
    breaker.abstain()
    assert breaker.allows(11.0)


def test_each_failed_probe_doubles_the_pause_up_to_the_maximum() -> None:
    breaker, now_s, pauses = open_breaker(), 11.0, []
    for _ in range(4):
        breaker.begin()
        breaker.fail(now_s)
        opens_s = next(s / 10 for s in range(int(now_s * 10), 1000) if breaker.allows(s / 10))
        pauses.append(opens_s - now_s)
        now_s = opens_s
    assert pauses == [2.0, 4.0, 4.0, 4.0]
