"""What playback needs of the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.playback.model.sessions import Session


class SessionStore(Protocol):
    """Play sessions, durably, and beside each change the facts (encoded `events.api.Record`s) that tell of it."""

    async def begin(self, session: Session, records: list[bytes]) -> None:
        """Keep a new session."""

    async def find(self, session_id: PlaySessionId) -> Session | None:
        """A session, open or ended."""

    async def move(self, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """An open session was heard of; tells whether it is still open (else nothing is kept).

        Of two moves the newer's position holds, in whatever order they come; the facts of both are kept.
        """

    async def steer(self, session_id: PlaySessionId, avoid: tuple[EdgeId, ...], now: datetime) -> None:
        """An open session asked for other edges."""

    async def close(self, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """End a session; tells whether it was this call that did (else nothing is kept)."""

    async def idle(self, since: datetime, limit: int) -> list[Session]:
        """Open sessions not heard of since a time, the longest silent first."""

    async def forget(self, ended_before: datetime) -> int:
        """Drop sessions that ended before a time; tells how many."""


class FactRelay(Protocol):
    """Facts stored beside the state, on their way to the log."""

    async def run(self, append: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Hand records to `append` in order, at least once, until cancelled."""
