"""The rules of an edge: addresses, ranges, conditional requests, eviction."""

from __future__ import annotations

import random
from collections import OrderedDict
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.edge.api import OutsideFile
from matinee.edge.model.addresses import KEY_LIMIT, ObjectAddress, content_type, parse_address
from matinee.edge.model.conditions import allows_range, http_date, is_current
from matinee.edge.model.eviction import MAX_FREQUENCY, S3Fifo
from matinee.edge.model.ranges import parse_range

ETAG = '"abc"'
MODIFIED_S = 784_111_777  # RFC 9110's own example: Sun, 06 Nov 1994 08:49:37 GMT


def test_addresses_of_content_and_artwork_are_parsed() -> None:
    assert parse_address("/t/tok/assets/ast_1/video-720/0001.m4s?x=/../") == ObjectAddress(
        "assets/ast_1/video-720/0001.m4s", "tok", "assets/ast_1"
    )
    assert parse_address("/art/tit_1/poster.webp") == ObjectAddress("public/art/tit_1/poster.webp")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "*",
        "/t",
        "/t/",
        "/t/tok",
        "/t/tok/assets",
        "/t/tok/assets/ast_1",
        "/t/tok/assets/ast_1/",
        "/t/tok/assets//x",
        "/t/tok/public/art/x",
        "/t/tok/secrets/a/b",
        "/assets/ast_1/x",
        "/art",
        "/art/",
        "/art//x",
        "/art/../assets/x",
        "/art/..",
        "/art/./x",
        "/art/.hidden",
        "/art/x/",
        "/art/a\\b",
        "/art/a\0b",
        "/art/a b",
        "/art/%2e%2e/assets/x",
        "/art/%2fetc/passwd",
        "/art/a%00",
        "/art/é",
        "/t/tok/assets/../public/x",
        "/t/tok/assets/ast_1/../ast_2/x",
        "/t/tok/assets/ast_1/%2e%2e/ast_2/x",
        "//etc/passwd",
        "/art/" + "a" * KEY_LIMIT,
    ],
)
def test_ambiguous_paths_are_rejected(target: str) -> None:
    assert parse_address(target) is None


@given(st.text(max_size=40))
def test_keys_stay_in_their_folder(text: str) -> None:
    for tail in (text, quote(text)):
        for target in (f"/art/{tail}", f"/t/tok/assets/ast_1/{tail}"):
            if (address := parse_address(target)) is not None:
                assert address.key.startswith(("public/art/", "assets/ast_1/"))
                assert not {"", ".", ".."} & set(address.key.split("/"))
                assert address.key.isascii()


def test_content_type_follows_the_suffix() -> None:
    endings = "mp4 m4s m4a vtt jpg webp mpd m3u8"
    assert [content_type(f"a.b/c.{ending}") for ending in endings.split()] == [
        "video/mp4",
        "video/iso.segment",
        "audio/mp4",
        "text/vtt; charset=utf-8",
        "image/jpeg",
        "image/webp",
        "application/dash+xml",
        "application/vnd.apple.mpegurl",
    ]
    assert content_type("x.M4S") == "video/iso.segment"
    assert content_type("x") == "application/octet-stream"


@given(st.binary(max_size=40), st.integers(0, 50) | st.none(), st.integers(0, 50) | st.none())
def test_range_selects_a_slice(data: bytes, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    try:
        found = parse_range(header, len(data))
    except OutsideFile:
        nothing = data[-last:] if first is None and last else b"" if first is None else data[first:]
        assert nothing == b""
        return
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        assert found is None
    else:
        assert found is not None
        expected = data[-(last or 0) :] if first is None else data[first : None if last is None else last + 1]
        assert data[slice(*found)] == expected != b""


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "items=0-1", "bytes=5-2", "bytes=--1", "0-1",
     "bytes=1٣-", f"bytes={'9' * 30}-"],
)  # fmt: skip
def test_malformed_or_multiple_ranges_select_the_complete_object(header: str | None) -> None:
    assert parse_range(header, 10) is None


def test_conditional_requests() -> None:
    def current(tags: str | None = None, since: str | None = None) -> bool:
        return is_current(tags, since, etag=ETAG, modified_s=MODIFIED_S)

    assert all(map(current, [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"]))
    assert not any(map(current, ['"x"', "abc", ""]))
    assert http_date(MODIFIED_S) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert current(since=http_date(MODIFIED_S))
    assert not current(since=http_date(MODIFIED_S - 1))
    assert not current('"x"', http_date(MODIFIED_S)), "If-None-Match takes precedence"
    assert not any(current(since=date) for date in ("", "yesterday", "99", "Sun, 99 Nov 1994 08:49:37 GMT"))


def test_if_range_requires_the_same_file() -> None:
    def is_allowed(if_range: str | None) -> bool:
        return allows_range(if_range, etag=ETAG, modified_s=MODIFIED_S)

    assert all(map(is_allowed, [None, ETAG, http_date(MODIFIED_S)]))
    assert not any(map(is_allowed, ['"x"', f"W/{ETAG}", http_date(MODIFIED_S + 1), "junk"]))


class DictFrequencies:
    """Frequencies in a dict."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}

    def get(self, name: bytes) -> int:
        return self.counts.get(name, 0)

    def set(self, name: bytes, frequency: int) -> None:
        self.counts[name] = frequency

    def increment(self, name: bytes) -> None:
        self.counts[name] = min(MAX_FREQUENCY, self.get(name) + 1)


REQUESTS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=200)


@given(REQUESTS, st.integers(1, 120), st.integers(0, 60))
def test_queue_stays_within_its_limit_and_matches_the_disk(
    requests: list[tuple[int, int]], limit: int, reserved: int
) -> None:
    frequencies, disk = DictFrequencies(), dict[bytes, int]()
    queue = S3Fifo(limit, frequencies)
    for number, size in requests:
        name = bytes([number])
        if name in disk:
            frequencies.increment(name)
            continue
        disk[name] = size
        queue.add(name, size)
        for evicted in queue.evict(reserved):
            if evicted is not None:
                del disk[evicted]
        assert queue.used_bytes == sum(disk.values())
        assert all(name in queue for name in disk)
        assert len(queue) == len(disk)
        assert queue.used_bytes + reserved <= limit or not disk


class ReferenceS3Fifo:
    """S3-FIFO as in the paper, with lists."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.small: list[tuple[bytes, int]] = []
        self.main: list[tuple[bytes, int]] = []
        self.ghosts: list[bytes] = []
        self.freq: dict[bytes, int] = {}

    def names(self) -> set[bytes]:
        return {name for name, _ in self.small + self.main}

    def request(self, name: bytes, size: int) -> None:
        if name in self.names():
            self.freq[name] = min(3, self.freq.get(name, 0) + 1)
            return
        if name in self.ghosts:
            self.ghosts.remove(name)
            self.main.append((name, size))
        else:
            self.small.append((name, size))
        while self.names() and sum(size for _, size in self.small + self.main) > self.limit:
            if sum(size for _, size in self.small) > self.limit * 0.1 or not self.main:
                self._evict_small()
            else:
                self._evict_main()

    def _evict_small(self) -> None:
        name, size = self.small.pop(0)
        if self.freq.pop(name, 0) > 1:
            self.main.append((name, size))
        else:
            self.ghosts.append(name)

    def _evict_main(self) -> None:
        name, size = self.main.pop(0)
        if self.freq.get(name, 0) > 0:
            self.freq[name] -= 1
            self.main.append((name, size))


@given(REQUESTS, st.integers(1, 120))
def test_queue_matches_the_reference(requests: list[tuple[int, int]], limit: int) -> None:
    frequencies, reference = DictFrequencies(), ReferenceS3Fifo(limit)
    queue = S3Fifo(limit, frequencies)
    sizes: dict[bytes, int] = {}
    for number, size in requests:
        name = bytes([number])
        reference.request(name, sizes.setdefault(name, size))
        if name in queue:
            frequencies.increment(name)
        else:
            queue.add(name, sizes[name])
            list(queue.evict())
        assert {name for name in map(bytes, ([n] for n in range(31))) if name in queue} == reference.names()


def test_add_and_remove_are_idempotent() -> None:
    queue = S3Fifo(100, DictFrequencies())
    queue.add(b"a", 10)
    queue.add(b"a", 10)
    queue.add(b"b", 20, to_main=True)
    assert queue.used_bytes == 30
    queue.remove(b"a")
    queue.remove(b"a")
    queue.remove(b"b")
    assert (queue.used_bytes, len(queue)) == (0, 0)


def test_scan_does_not_evict_popular_objects() -> None:
    frequencies = DictFrequencies()
    queue = S3Fifo(100, frequencies)
    for number in range(50):
        queue.add(b"popular" + bytes([number]), 1)
        for _ in range(3):
            frequencies.increment(b"popular" + bytes([number]))
    for number in range(1000):
        queue.add(number.to_bytes(2, "big"), 1)
        list(queue.evict())
    assert sum(b"popular" + bytes([number]) in queue for number in range(50)) == 50


def test_hit_ratio_is_above_lru_when_many_objects_are_requested_once() -> None:
    rng = random.Random(7)
    popular = [min(999, int(rng.paretovariate(0.8))) for _ in range(20_000)]
    stream = [n if rng.random() < 0.6 else 10_000 + at for at, n in enumerate(popular)]
    assert _s3_fifo_hits(stream, 100) > _lru_hits(stream, 100)


def _s3_fifo_hits(stream: list[int], limit: int) -> int:
    frequencies, hits = DictFrequencies(), 0
    queue = S3Fifo(limit, frequencies)
    for number in stream:
        name = number.to_bytes(4, "big")
        if name in queue:
            hits += 1
            frequencies.increment(name)
        else:
            queue.add(name, 1)
            list(queue.evict())
    return hits


def _lru_hits(stream: list[int], limit: int) -> int:
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for number in stream:
        if number in cache:
            hits += 1
            cache.move_to_end(number)
        cache[number] = None
        if len(cache) > limit:
            cache.popitem(last=False)
    return hits
