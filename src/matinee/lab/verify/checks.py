"""The result of one comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One comparison of a track: `found` says what was measured, or why it was not."""

    name: str
    track: str
    result: Literal["ok", "WRONG", "not checked"]
    found: str


def judge(name: str, track: str, is_right: bool, found: str) -> Check:
    """Return a check that was made."""
    return Check(name, track, "ok" if is_right else "WRONG", found)


def skip(name: str, track: str, why: str) -> Check:
    """Return a check that was not made."""
    return Check(name, track, "not checked", why)


def is_wrong(checks: Iterable[Check]) -> bool:
    """Return whether anything is wrong."""
    return any(check.result == "WRONG" for check in checks)
