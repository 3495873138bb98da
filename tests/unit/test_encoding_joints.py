"""Where recordings are joined in a file."""

from pathlib import Path

import pytest

from matinee.encoding.adapters.ffmpeg.joints import (
    PacketPlace,
    find_chains,
    find_pack,
    find_restarts,
    find_tables,
    split,
)
from matinee.encoding.model.source import Span

PICTURE, SOUND = 0, 1


def list_packets(*parts: tuple[float, int]) -> list[PacketPlace]:
    """List the packets of recordings of two seconds, each with the time and place of its start."""
    packets = []
    for start_s, place in parts:
        for n in range(50):
            packets.append(PacketPlace(PICTURE, start_s + n / 25, place + n * 1000))
            packets.append(PacketPlace(SOUND, start_s + n / 25, place + n * 1000 + 500))
    return packets


@pytest.mark.parametrize("second_s", [0.0, 1.2, 90.0])
def test_a_clock_that_restarts_in_all_streams_is_a_joint(second_s: float) -> None:
    assert find_restarts(list_packets((1.4, 0), (second_s, 60_000)), {PICTURE, SOUND}) == [60_000]
    three = list_packets((1.4, 0), (second_s, 60_000), (1.4, 120_000))
    assert find_restarts(three, {PICTURE, SOUND}) == [60_000, 120_000]


def test_a_clock_that_goes_on_or_steps_in_one_stream_only_is_no_joint() -> None:
    assert find_restarts(list_packets((1.4, 0), (4.0, 60_000)), {PICTURE, SOUND}) == []
    damaged = list_packets((1.4, 0))
    damaged[40] = PacketPlace(PICTURE, 900.0, damaged[40].place)
    assert find_restarts(damaged, {PICTURE, SOUND}) == []


@pytest.mark.parametrize("size", [188, 192])
def test_tables_before_a_packet_belong_to_it(tmp_path: Path, size: int) -> None:
    def packet(pid: int) -> bytes:
        return bytes(size - 188) + bytes([0x47, pid >> 8, pid & 0xFF]) + bytes(185)

    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(map(packet, [0x100, 0x101, 0x11, 0, 0x1000, 0x100, 0x101])))
    header = size - 188  # what precedes the first byte of a packet
    assert find_tables(path, 5 * size + header, {0x100, 0x101}) == 2 * size + header
    assert find_tables(path, 1 * size + header, {0x100, 0x101}) == 1 * size + header


def test_pack_of_a_packet_is_found(tmp_path: Path) -> None:
    path = tmp_path / "joined.vob"
    path.write_bytes(b"x" * 100 + b"\0\0\1\xba" + b"y" * 20 + b"\0\0\1\xe0" + b"z" * 9)
    assert find_pack(path, 124) == 100
    path.write_bytes(b"x" * 200)
    assert find_pack(path, 124) == 124


def test_chained_ogg_files_are_found(tmp_path: Path) -> None:
    def page(kind: int, content: bytes) -> bytes:
        return b"OggS\0" + bytes([kind]) + bytes(20) + bytes([1, len(content)]) + content

    film = page(2, b"theora") + page(2, b"vorbis") + page(0, b"OggS\0\1 is data") + page(4, b"end")
    path = tmp_path / "chained.ogv"
    path.write_bytes(film * 3)
    assert find_chains(path) == [len(film), 2 * len(film)]
    path.write_bytes(film[:-3])
    assert find_chains(path) == []


def test_a_file_is_split_at_places_within_it() -> None:
    assert split([0, 40, 100], 100) == (Span(0, 40), Span(40, 100))
    assert split([0], 100) == split([], 100) == ()
