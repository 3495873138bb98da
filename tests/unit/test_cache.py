"""The cache in memory, and consistent hashing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.cache import MemoryCache
from matinee.drivers.cache.hashing import HashRing
from matinee.kit.clock import ManualClock

KEYS = [f"catalogue.titles:{number}" for number in range(20_000)]
HOSTS = [f"10.0.0.{number}:11211" for number in range(1, 11)]


@pytest.mark.parametrize("count", [2, 4, 10])
def test_hosts_have_about_equal_shares(count: int) -> None:
    ring = HashRing(HOSTS[:count])
    shares = Counter(ring.host(key) for key in KEYS)
    assert len(shares) == count
    assert all(0.7 < share * count / len(KEYS) < 1.3 for share in shares.values())


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_an_added_host_takes_its_share_and_no_other_key_moves(count: int) -> None:
    before, after = HashRing(HOSTS[:count]), HashRing(HOSTS[: count + 1])
    moved = [key for key in KEYS if before.host(key) != after.host(key)]
    assert {after.host(key) for key in moved} == {HOSTS[count]}
    assert 0.7 < len(moved) * (count + 1) / len(KEYS) < 1.3


@given(st.lists(st.sampled_from(HOSTS), min_size=2, unique=True), st.text())
def test_only_the_keys_of_a_removed_host_move(hosts: list[str], key: str) -> None:
    removed, *rest = hosts
    host = HashRing(hosts).host(key)
    assert HashRing(reversed(rest)).host(key) == host or host == removed


def test_a_ring_without_hosts_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a host"):
        HashRing([])


async def test_memory_returns_a_value_until_its_time_has_passed() -> None:
    clock = ManualClock()
    cache = MemoryCache(clock=clock)
    await cache.put("a", b"1", ttl_ms=1_000)
    clock.advance(milliseconds=999)
    assert await cache.get("a") == b"1"
    clock.advance(milliseconds=1)
    assert await cache.get("a") is None


async def test_memory_evicts_the_least_recently_used_values() -> None:
    cache = MemoryCache(clock=ManualClock(), max_bytes=100_000)
    for number in range(1_000):
        await cache.put(f"k{number}", bytes(800), ttl_ms=1_000)
        await cache.get("k0")
    found = [number for number in range(1_000) if await cache.get(f"k{number}") is not None]
    assert found[0] == 0
    assert found[1:] == [*range(1_000 - len(found) + 1, 1_000)]
    assert 90 <= len(found) <= 100
