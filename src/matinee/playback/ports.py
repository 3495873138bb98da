"""What playback needs of the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession


class SessionStore(Protocol):
    """Play sessions, durably, and beside each change the facts (encoded `events.api.Record`s) that tell of it."""

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        """Keep a new session."""

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        """A session, open or ended."""

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """An open session was heard of; tells whether it is still open (else nothing is kept).

        Of two moves the newer's position holds, in whatever order they come; the facts of both are kept.
        """

    async def avoid_edges(self, *, session_id: PlaySessionId, edge_ids: tuple[EdgeId, ...], now: datetime) -> None:
        """An open session asked for other edges."""

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        """End a session; tells whether it was this call that did (else nothing is kept)."""

    async def find_idle(self, *, since: datetime, limit: int) -> list[StoredSession]:
        """Open sessions not heard of since a time, the longest silent first."""

    async def delete_ended(self, *, before: datetime) -> int:
        """Drop sessions that ended before a time; tells how many."""
