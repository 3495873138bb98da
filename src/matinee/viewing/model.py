"""The rules of positions: which one is newer, the bounds of times, which titles are unfinished."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from matinee.kit import page
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.viewing.api import Position

MAX_DURATION_MS = 14 * 24 * 3600 * 1000
MAX_ID = 40
# An earlier time comes from a device with a wrong clock.
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)


class HistoryKey(NamedTuple):
    """The sort key of a profile's history: time, title, episode, in descending order."""

    at: datetime
    title_id: str
    episode_id: str


def precedence(position: Position) -> tuple[datetime, str, int, int]:
    """Return what decides between two positions in one film or episode: the greater one is stored."""
    return (position.updated_at, position.device_id, position.position_ms, position.duration_ms)


def normalise(position: Position, now: datetime) -> Position:
    """Return the position with its time bounded by now and its position by the end. Raises Invalid."""
    if faults := list(_find_faults(position)):
        raise Invalid(faults=faults)
    end_ms = position.duration_ms or position.position_ms
    return msgspec.structs.replace(
        position,
        updated_at=from_ms(to_ms(min(position.updated_at, now))),
        position_ms=min(position.position_ms, end_ms),
    )


def _find_faults(position: Position) -> Iterable[Fault]:
    for name in ("position_ms", "duration_ms"):
        if not 0 <= getattr(position, name) <= MAX_DURATION_MS:
            yield Fault(name, f"from 0 to {MAX_DURATION_MS}")
    if position.updated_at.tzinfo is None:
        yield Fault("updated_at", "needs a time zone")
    elif position.updated_at < EARLIEST:
        yield Fault("updated_at", f"is before {EARLIEST:%Y}")
    for name in ("account_id", "profile_id", "title_id", "device_id", "episode_id"):
        value = getattr(position, name)
        if value is not None and not 1 <= len(value) <= MAX_ID:
            yield Fault(name, "is not an id")


def select_unfinished(newest_first: Iterable[Position], done: set[TitleId]) -> list[Position]:
    """Return the newest position in each title that is not in `done`, and add the titles to it.

    Finished films are left out. A barely started episode does not hide the progress of its series.
    """
    found: list[Position] = []
    for position in newest_first:
        if position.title_id not in done and not position.is_barely_started:
            done.add(position.title_id)
            if position.episode_id is not None or not position.is_finished:
                found.append(position)
    return found


def history_key(position: Position) -> HistoryKey:
    """Return the sort key of a position in the history."""
    return HistoryKey(position.updated_at, position.title_id, position.episode_id or "")


def parse_cursor(cursor: str) -> HistoryKey:
    """Return the sort key in a cursor. Raises Invalid."""
    at, (title_id, episode_id) = page.parse_cursor(cursor, 2)
    return HistoryKey(at, title_id, episode_id)
