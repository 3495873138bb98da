"""Consistent hashing, and the encoding of cache entries."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.cache.codec import CacheEntry, EntryKind, decode_entry, encode_entry, schema_digest
from matinee.drivers.cache.hashing import HashRing

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


@given(st.text(), st.text(), st.binary(max_size=50), st.integers(0, 400), st.integers(1, 255))
def test_an_entry_is_decoded_only_intact_and_under_its_own_key(
    key: str, other: str, body: bytes, position: int, change: int
) -> None:
    entry = CacheEntry(kind=EntryKind.VALUE, created_ms=1, fresh_until_ms=2, expires_ms=3, lease_until_ms=4, body=body)
    encoded = encode_entry(key, entry)
    assert decode_entry(key, encoded) == msgspec.structs.replace(entry, write_id=encoded[:8])
    assert key == other or decode_entry(other, encoded) is None
    changed = bytearray(encoded)
    changed[position % len(encoded)] ^= change
    assert decode_entry(key, bytes(changed)) is None
    assert decode_entry(key, encoded[: position % len(encoded)]) is None


def test_each_schema_has_its_own_digest() -> None:
    assert schema_digest(dict[str, int]) == schema_digest(dict[str, int]) != schema_digest(dict[str, str])
