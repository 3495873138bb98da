"""The rules of positions: which one stands, what a wrong clock may do, what is still to be watched."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.viewing.api import Position

# Longer than anything that is watched in one piece.
MAX_DURATION_MS = 14 * 24 * 3600 * 1000
MAX_ID = 40
# Before this there was no Matinee: a device that has lost its clock.
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """A place in a profile's history, which is ordered by time, then title, then episode, newest first."""

    at: datetime
    title_id: str
    episode_id: str


def standing(position: Position) -> tuple[datetime, str, int, int]:
    """What decides between two positions in one film or episode: the greater stands. Equal only where both are."""
    return (position.updated_at, position.device_id, position.position_ms, position.duration_ms)


def accepted(position: Position, now: datetime) -> Position:
    """The position as it may be stored: a time ahead of ours is now, past the end is the end. Raises Invalid."""
    if faults := list(_faults(position)):
        raise Invalid(faults=faults)
    end_ms = position.duration_ms or position.position_ms
    return msgspec.structs.replace(
        position,
        updated_at=from_ms(to_ms(min(position.updated_at, now))),
        position_ms=min(position.position_ms, end_ms),
    )


def _faults(position: Position) -> Iterable[Fault]:
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


def unfinished(newest_first: Iterable[Position], seen: set[TitleId]) -> list[Position]:
    """The newest of each title not yet in `seen` (which is added to), without the films that are finished."""
    found: list[Position] = []
    for position in newest_first:
        if position.title_id not in seen:
            seen.add(position.title_id)
            if position.episode_id is not None or not position.finished:
                found.append(position)
    return found


def place(position: Position) -> Place:
    """Where a position stands in the history."""
    return Place(position.updated_at, position.title_id, position.episode_id or "")


def cursor(place: Place) -> str:
    """A place as an opaque text."""
    return urlsafe_b64encode(f"{to_ms(place.at)}/{place.title_id}/{place.episode_id}".encode()).decode().rstrip("=")


def parse_cursor(text: str) -> Place:
    """The place in a cursor. Raises Invalid."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        at_ms, title_id, episode_id = urlsafe_b64decode(padded).decode().split("/")
        return Place(from_ms(int(at_ms)), title_id, episode_id)
    except (ValueError, OverflowError, OSError):
        raise Invalid(faults=[Fault("cursor", "is not one of ours")]) from None
