"""Trending: the titles that viewers opened most from searches in the last days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from matinee.kit.clock import Clock
from matinee.kit.ids import TitleId
from matinee.search.api import IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.model.queries import TRENDING_DAYS, rank_opened
from matinee.search.ports import QueryLog, TextIndex

_READ_EVERY = timedelta(minutes=1)
_MAX_READ, _MAX_RANKED = 2_000, 200


class Trending:
    """The titles that are trending, read at most once a minute."""

    def __init__(self, *, log: QueryLog, index: TextIndex, clock: Clock) -> None:
        self._log = log
        self._index = index
        self._clock = clock
        self._read_at: datetime | None = None
        self._ranked: Sequence[NameDocument] = ()

    async def list_titles(self, *, territory: str, maturity: int, limit: int) -> list[TitleId]:
        """Return the titles that a viewer may find now, the most popular first."""
        now = self._clock.now()
        if self._read_at is None or not timedelta(0) <= now - self._read_at < _READ_EVERY:
            # Before reading: until that is done, or where it fails, others get what was read before.
            self._read_at = now
            self._ranked = await self._read(now)
        found = [document.owner for document in self._ranked if document.count_for(territory, maturity, now)]
        return [TitleId(owner) for owner in found[:limit]]

    async def _read(self, now: datetime) -> list[NameDocument]:
        today = now.date()
        opened = await self._log.list_opened(since=today - timedelta(days=TRENDING_DAYS - 1), limit=_MAX_READ)
        title_ids = rank_opened(opened, today)[:_MAX_RANKED]
        try:
            about = await self._index.load_about(title_ids) if title_ids else {}
        except IndexNotReady:
            return []
        return [about[title_id] for title_id in title_ids if title_id in about]
