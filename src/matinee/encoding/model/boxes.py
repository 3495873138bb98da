"""Boxes of MP4 files (ISO/IEC 14496-12), as far as packaged segments need it."""

from __future__ import annotations

from collections.abc import Iterator

# So much of the beginning of a segment contains everything before its samples.
HEAD_BYTES = 256 << 10
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"moof", b"traf"})
_TIMES = frozenset({b"mvhd", b"tkhd", b"mdhd"})
_UNKNOWN = "und"


def complete_init(init: bytes, language: str) -> bytes:
    """Return an initialisation segment with a language (ISO 639-2), and without the time at which it was made.

    Thereby another run of the packager gives the same bytes.
    """
    data = bytearray(init)
    for name, start, _ in _walk(init, 0, len(init)):
        if name not in _TIMES:
            continue
        width = 8 if data[start] == 1 else 4
        data[start + 4 : start + 4 + 2 * width] = bytes(2 * width)
        if name == b"mdhd":
            at = start + 4 + 2 * width + 4 + width  # after the timescale and the duration
            data[at : at + 2] = _pack_language(language)
    return bytes(data)


def measure_first_picture(head: bytes) -> int:
    """Return the size of the part of a segment that ends with its first sample, given its beginning.

    Raises ValueError if that has no fragment with samples.
    """
    moof = default = 0
    for name, start, _ in _walk(head, 0, len(head)):
        if name == b"moof":
            moof = start - 8
        elif name == b"tfhd":
            default = _read_default_size(head, start)
        elif name == b"trun":
            flags = int.from_bytes(head[start + 1 : start + 4], "big")
            first = start + 12 + (4 if flags & 0x4 else 0) + (4 if flags & 0x100 else 0)
            size = int.from_bytes(head[first : first + 4], "big") if flags & 0x200 else default
            if not flags & 0x1 or not size:
                break
            return moof + int.from_bytes(head[start + 8 : start + 12], "big", signed=True) + size
    raise ValueError("the segment has no fragment whose samples have sizes")


def _read_default_size(data: bytes, start: int) -> int:
    """Read the size that all samples of a fragment have (§8.8.7); 0 where each has its own."""
    flags = int.from_bytes(data[start + 1 : start + 4], "big")
    # After the track's number: the data's offset, the description's index, the duration.
    at = start + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0) + (4 if flags & 0x8 else 0)
    return int.from_bytes(data[at : at + 4], "big") if flags & 0x10 else 0


def _walk(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes, and those within containers, with the start and end of their contents."""
    while at + 8 <= stop:
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size < 8:
            return
        yield name, at + 8, at + size
        if name in _CONTAINERS:
            yield from _walk(data, at + 8, min(stop, at + size))
        at += size


def _pack_language(language: str) -> bytes:
    letters = language if len(language) == 3 and language.isascii() and language.islower() else _UNKNOWN
    number = 0
    for letter in letters:
        number = number << 5 | (ord(letter) - 0x60)
    return number.to_bytes(2, "big")
