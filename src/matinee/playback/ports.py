"""What playback needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.kit.ids import AccountId, EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession


class IdleSessions(Protocol):
    """Finds the sessions that their players did not end."""

    async def list_idle(self, *, since: datetime, now: datetime, limit: int) -> list[StoredSession]:
        """List the open sessions without a heartbeat since a time, the longest idle first.

        They are followed by those whose last heartbeat is ahead of `now` by more than clocks differ.
        """

    async def delete_ended(self, *, before: datetime) -> int:
        """Delete sessions that ended before a time, and return how many."""


class SessionStore(IdleSessions, Protocol):
    """Play sessions. Changes store their facts (encoded `events.api.FactRecord`s) in the same transaction."""

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        """Store a new session."""

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        """Return a session, open or ended."""

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """Record that an open session is at a position; return False, and store nothing, where it is not open.

        Of several moves the position with the latest time stays, in whatever order they arrive; all facts are stored.
        A stored time that is ahead of `now`, by more than clocks differ, does not stay.
        """

    async def set_edges(
        self, *, session_id: PlaySessionId, avoid: tuple[EdgeId, ...], served: tuple[EdgeId, ...], now: datetime
    ) -> None:
        """Set the edges that an open session avoids, and those that it was given."""

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """End a session; return False, and store nothing, where it is not open."""

    async def list_open(self, *, account_id: AccountId, limit: int) -> list[StoredSession]:
        """List the open sessions of an account, the longest idle first."""
