"""Affinity: which genres a profile watches, as a small vector in which older plays count less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

# How many plays each genre counts now.
Affinity: TypeAlias = Mapping[str, float]
_HALF_LIFE = timedelta(days=30)
MAX_GENRES = 16
# So many plays say nothing for sure: a profile that played one title has a small affinity only.
_UNSURE_PLAYS = 3.0


def decay(affinity: Affinity, age: timedelta) -> dict[str, float]:
    """Return what the plays count after a time: half of it after 30 days. A negative age counts as none."""
    factor = 0.5 ** (max(timedelta(), age) / _HALF_LIFE)
    return {genre_id: count * factor for genre_id, count in affinity.items()}


def add_plays(affinity: Affinity, plays: Iterable[Sequence[str]]) -> dict[str, float]:
    """Return an affinity with plays of titles, each given by its genres; the genres that count most are kept."""
    counts = dict(affinity)
    for genres in plays:
        for genre_id in genres:
            counts[genre_id] = counts.get(genre_id, 0.0) + 1 / len(genres)
    kept = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MAX_GENRES]
    return dict(kept)


def measure(affinity: Affinity, genres: Sequence[str]) -> float:
    """Return from 0 to 1 how much of what was played has the genres of a title, on average over these."""
    plays = sum(affinity.values())
    if not plays or not genres:
        return 0.0
    most = max(affinity.values())
    share = sum(affinity.get(genre_id, 0.0) for genre_id in genres) / len(genres) / most
    return share * plays / (plays + _UNSURE_PLAYS)
