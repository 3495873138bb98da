"""What events needs of the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.events.api import Batch, Record


class EventLog(Protocol):
    """A durable, ordered log. What an append has answered survives the process and the machine."""

    async def append(self, records: list[Record], *, now: datetime) -> list[int]:
        """Store records in one transaction; a `fact_id` already there keeps its offset and its first content."""

    async def read(self, *, after: int, limit: int, types: tuple[str, ...]) -> Batch:
        """What lies after an offset now. `next_offset` is past everything looked at, matching or not."""

    async def head(self) -> int:
        """The newest offset; 0 while nothing was ever appended."""

    async def offset_at(self, moment: datetime) -> int:
        """The newest offset appended before a moment, or 0."""

    async def commit(self, consumer: str, offset: int) -> None:
        """Keep a consumer's offset: never backwards, never past the end."""

    async def committed(self, consumer: str) -> int:
        """A consumer's offset, or 0."""
