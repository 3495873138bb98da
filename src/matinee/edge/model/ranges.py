"""Byte ranges, RFC 9110 §14."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(Exception):
    """The range begins behind the end."""


def one_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The offsets asked for, first and one past the last; None means the whole.

    A header that is no range, another unit, or several ranges at once is passed over, as the RFC allows.
    Raises Unsatisfiable.
    """
    if header is None or (found := _ONE.fullmatch(header.strip())) is None:
        return None
    first, last = found.groups()
    if not first:
        return _suffix(last, size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(int(last) + 1, size) if last else size


def _suffix(last: str, size: int) -> tuple[int, int] | None:
    if not last:
        return None
    if int(last) == 0 or size == 0:
        raise Unsatisfiable
    return max(0, size - int(last)), size
