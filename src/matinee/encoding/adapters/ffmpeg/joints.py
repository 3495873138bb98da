"""The places in a file where recordings are joined, of which each has a clock of its own."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from matinee.encoding.model.source import Span

# Clocks that restart (MPEG-TS §2.4.2.2 allows it at a discontinuity): a step back that is more than the overlap of two
# recordings, or one this far ahead.
STEP_BACK_S, STEP_AHEAD_S = 0.1, 10.0
# Rounded times of decoding may go back by as little.
_JITTER_S = 0.005
# In this many bytes the clocks of all streams restart.
_NEAR_BYTES = 16 << 20
# The tables of a transport stream and the headers of a pack are this near before the first packet that needs them.
_HEAD_BYTES = 64 << 10
_SYNC, _PACKET_BYTES = 0x47, (188, 192, 204)
_PACK_START = b"\0\0\1\xba"
_OGG_BEGINS = b"OggS\0\x02"


class PacketPlace(NamedTuple):
    """A packet of a stream: its time of decoding and its place in the file."""

    stream: int
    time_s: float
    place: int


def find_restarts(packets: Iterable[PacketPlace], streams: Collection[int]) -> list[int]:
    """Find the places, in packets in the order of the file, where the clocks of all streams restart."""
    last: dict[int, float] = {}
    restarts: list[int] = []
    found: dict[int, int] = {}
    for packet in packets:
        if found and packet.place - min(found.values()) > _NEAR_BYTES:
            found.clear()
        before = last.get(packet.stream)
        last[packet.stream] = packet.time_s
        if before is not None and not -_JITTER_S <= packet.time_s - before <= STEP_AHEAD_S:
            found[packet.stream] = packet.place
            if found.keys() >= set(streams):
                restarts.append(min(found.values()))
                found.clear()
    return restarts


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


def _find_page_end(data: mmap.mmap, at: int) -> int:
    segments = data[at + 26] if at + 26 < len(data) else 0
    return at + 27 + segments + sum(data[at + 27 : at + 27 + segments])


def split(places: Iterable[int], size_bytes: int) -> tuple[Span, ...]:
    """Return the parts of a file that is split at places; none where it is not."""
    edges = sorted({0, size_bytes, *(place for place in places if 0 < place < size_bytes)})
    return tuple(Span(start, end) for start, end in pairwise(edges)) if len(edges) > 2 else ()
