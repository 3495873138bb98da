"""Byte ranges, RFC 9110 §14."""

from __future__ import annotations

import re

from matinee.edge.api import OutsideFile

_SINGLE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the requested offsets, first and one past the last; None for the complete object.

    A malformed header, another unit or several ranges are ignored, as the RFC allows. Raises OutsideFile.
    """
    if header is None or (found := _SINGLE.fullmatch(header.strip())) is None:
        return None
    first, last = found.groups()
    if not first:
        return _parse_suffix(last, size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise OutsideFile(size_bytes=size)
    return start, min(int(last) + 1, size) if last else size


def _parse_suffix(last: str, size: int) -> tuple[int, int] | None:
    if not last:
        return None
    if int(last) == 0 or size == 0:
        raise OutsideFile(size_bytes=size)
    return max(0, size - int(last)), size
