"""The places in a file where recordings are joined, of which each has a clock of its own."""

from __future__ import annotations

import mmap
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from matinee.encoding.model.source import Span

# Clocks that restart (MPEG-TS §2.4.2.2 allows it at a discontinuity): a step back that is more than the overlap of two
# recordings, or one this far ahead.
STEP_BACK_S, STEP_AHEAD_S = 0.1, 10.0
# Rounded times of decoding may go back by as little.
_JITTER_S = 0.005
# Among so many packets frames are in another order than that in which they are shown.
REORDERED = 16
# In this many bytes the clocks of all streams restart.
_NEAR_BYTES = 16 << 20
# The tables of a transport stream and the headers of a pack are this near before the first packet that needs them.
_HEAD_BYTES = 64 << 10
_SYNC, _PACKET_BYTES = 0x47, (188, 192, 204)
_PACK_START = b"\0\0\1\xba"
_OGG_BEGINS = b"OggS\0\x02"
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


class PacketPlace(NamedTuple):
    """A packet of a stream: its time of decoding, its place in the file, and how much later it is shown.

    A recording can begin with it if it is a `start`.
    """

    stream: int
    time_s: float
    place: int
    delay_s: float = 0.0
    start: bool = True


def find_restarts(packets: Iterable[PacketPlace], streams: Collection[int]) -> list[int]:
    """Find the places, in packets in the order of the file, where the clocks of all streams restart."""
    recent: defaultdict[int, deque[PacketPlace]] = defaultdict(lambda: deque(maxlen=REORDERED))
    restarts: list[int] = []
    found: dict[int, int] = {}
    for packet in packets:
        if found and packet.place - min(found.values()) > _NEAR_BYTES:
            found.clear()
        before = recent[packet.stream]
        is_restart = bool(before) and _is_restart(before, packet)
        before.append(packet)
        if is_restart:
            found[packet.stream] = packet.place
            if found.keys() >= set(streams):
                restarts.append(min(found.values()))
                found.clear()
    return restarts


def _is_restart(before: Sequence[PacketPlace], packet: PacketPlace) -> bool:
    """Return whether a clock restarts; a step ahead over which frames are reordered is a gap in one recording."""
    step_s = packet.time_s - before[-1].time_s
    shown_s = max(one.time_s + one.delay_s for one in before)
    return step_s < -_JITTER_S or (packet.start and min(step_s, packet.time_s - shown_s) > STEP_AHEAD_S)


def find_pack(path: Path, place: int) -> int:
    """Return where the pack of a programme stream begins that has a packet (ISO/IEC 13818-1 §2.5.3.3)."""
    first = max(0, place - _HEAD_BYTES)
    with path.open("rb") as file:
        file.seek(first)
        at = file.read(place - first + len(_PACK_START)).rfind(_PACK_START)
    return first + at if at >= 0 else place


def find_tables(path: Path, place: int, pids: Collection[int]) -> int:
    """Return where the tables of a transport stream begin that directly precede a packet of a stream.

    These are the packets with other identifiers than the streams (ISO/IEC 13818-1 §2.4.3.2).
    """
    first = max(0, place - _HEAD_BYTES)
    with path.open("rb") as file:
        file.seek(first)
        data = file.read(place - first + 1)
    at = len(data) - 1
    size = next((size for size in _PACKET_BYTES if at >= size and data[at] == data[at - size] == _SYNC), 0)
    while size and at >= size and data[at - size] == _SYNC:
        if ((data[at - size + 1] & 0x1F) << 8 | data[at - size + 2]) in pids:
            break
        at -= size
    return first + at


def find_chains(path: Path) -> list[int]:
    """Find where further Ogg files begin in a file (RFC 3533 §4): the first pages of each are together."""
    chains: list[int] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_OGG_BEGINS)
        end = at
        while at >= 0:
            if at != end:
                chains.append(at)
            end = _find_page_end(data, at)
            at = data.find(_OGG_BEGINS, max(end, at + 1))
    return chains


def find_films(path: Path) -> list[int]:
    """Find where further films begin in a Matroska or MP4 file: each has a header of its own."""
    with path.open("rb") as file:
        size = path.stat().st_size
        is_matroska = file.read(4) == _EBML
        return list(_find_segments(file, size) if is_matroska else _find_movies(file, size))


def _find_segments(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where further headers follow whole segments (RFC 8794 §4, RFC 9559 §4.5)."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(4)
        if head == _EBML and at:
            yield at
        if head not in (_EBML, _SEGMENT):
            return
        first = file.read(1)
        length = 9 - first[0].bit_length() if first and first[0] else 0
        value = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1) if length else 0
        if not length or value == (1 << 7 * length) - 1:  # unknown: to the end of the file
            return
        at += 4 + length + value


def _find_movies(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where a further file type follows a movie (ISO/IEC 14496-12 §4.3)."""
    at, has_movie = 0, False
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if name == b"ftyp" and has_movie:
            yield at
        has_movie = (has_movie and name != b"ftyp") or name == b"moov"
        if length < 8:
            return
        at += length


def _find_page_end(data: mmap.mmap, at: int) -> int:
    segments = data[at + 26] if at + 26 < len(data) else 0
    return at + 27 + segments + sum(data[at + 27 : at + 27 + segments])


def split(places: Iterable[int], size_bytes: int) -> tuple[Span, ...]:
    """Return the parts of a file that is split at places; none where it is not."""
    edges = sorted({0, size_bytes, *(place for place in places if 0 < place < size_bytes)})
    return tuple(Span(start, end) for start, end in pairwise(edges)) if len(edges) > 2 else ()
