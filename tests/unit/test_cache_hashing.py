"""Which host keeps a key: evenly, and as little as possible elsewhere when hosts come and go."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.cache.hashing import HashRing
from matinee.drivers.cache.record import Kind, Record, encoding_of, pack, unpack

KEYS = [f"catalogue.titles:{number}" for number in range(20_000)]
HOSTS = [f"10.0.0.{number}:11211" for number in range(1, 11)]


@pytest.mark.parametrize("count", [2, 4, 10])
def test_every_host_has_about_its_share(count: int) -> None:
    ring = HashRing(HOSTS[:count])
    shares = Counter(ring.host(key) for key in KEYS)
    assert len(shares) == count
    assert all(0.7 < share * count / len(KEYS) < 1.3 for share in shares.values())


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_a_host_that_is_added_takes_its_share_and_nothing_else_moves(count: int) -> None:
    before, after = HashRing(HOSTS[:count]), HashRing(HOSTS[: count + 1])
    moved = [key for key in KEYS if before.host(key) != after.host(key)]
    assert {after.host(key) for key in moved} == {HOSTS[count]}
    assert 0.7 < len(moved) * (count + 1) / len(KEYS) < 1.3  # by the numbers of the parts: an n-th


@given(st.lists(st.sampled_from(HOSTS), min_size=2, unique=True), st.text())
def test_a_host_that_is_removed_takes_only_its_own_keys_along(hosts: list[str], key: str) -> None:
    gone, *left = hosts
    host = HashRing(hosts).host(key)
    assert HashRing(reversed(left)).host(key) == host or host == gone


def test_a_ring_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a host"):
        HashRing([])


@given(st.text(), st.text(), st.binary(max_size=50), st.integers(0, 400), st.integers(1, 255))
def test_a_record_is_read_as_it_was_written_and_by_its_own_key(
    key: str, other: str, body: bytes, place: int, change: int
) -> None:
    record = Record(kind=Kind.VALUE, version=3, made_ms=1, fresh_ms=2, good_ms=3, lease_ms=4, body=body)
    packed = pack(key, record)
    found = unpack(key, packed)
    assert found == Record(
        kind=Kind.VALUE, version=3, made_ms=1, fresh_ms=2, good_ms=3, lease_ms=4, mark=packed[:8], body=body
    )
    assert key == other or unpack(other, packed) is None
    broken = bytearray(packed)
    broken[place % len(packed)] ^= change
    assert unpack(key, bytes(broken)) is None
    assert unpack(key, packed[: place % len(packed)]) is None


def test_another_shape_of_a_value_is_another_encoding() -> None:
    assert encoding_of(dict[str, int]) == encoding_of(dict[str, int]) != encoding_of(dict[str, str])
