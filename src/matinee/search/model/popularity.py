"""Popularity: plays, of which older ones count less, as a share of those of the most popular title."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

K = TypeVar("K")
_HALF_LIFE = timedelta(days=14)


def decay(plays: float, age: timedelta) -> float:
    """Return what plays count after a time: half of them after two weeks. A negative age counts as none."""
    return float(plays * 0.5 ** (max(timedelta(), age) / _HALF_LIFE))


def to_shares(plays: Mapping[K, float]) -> dict[K, float]:
    """Return plays as shares of the largest number."""
    most = max(plays.values(), default=0.0)
    return {key: value / most for key, value in plays.items()} if most > 0 else {}
