"""Lists of sizes as bytes, for places where a list of numbers would be too long."""

from __future__ import annotations

from collections.abc import Sequence


def pack_sizes(sizes: Sequence[int]) -> bytes:
    """Pack sizes into as many bytes each as the largest needs; the first byte is that number."""
    if not sizes:
        return b""
    width = max(1, (max(sizes).bit_length() + 7) // 8)
    return bytes([width]) + b"".join(size.to_bytes(width, "big") for size in sizes)


def unpack_sizes(packed: bytes) -> list[int]:
    """Return the sizes. Raises ValueError if they were not packed by `pack_sizes`."""
    if not packed:
        return []
    width, data = packed[0], packed[1:]
    if width == 0 or len(data) % width:
        raise ValueError("packed sizes have a wrong length")
    return [int.from_bytes(data[at : at + width], "big") for at in range(0, len(data), width)]
