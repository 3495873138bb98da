"""A read model in memory: titles and assets by id, and lists, refreshed by the store's revisions.

Entries are trusted for `FRESH_MS`. The first read after that asks the store what has changed since the newest known
revision and drops those entries, so instances differ for no longer than that. A value is stored only if it was read at
the newest known revision or later: a value that was read before a change and arrives after it is returned, not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Hashable
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from matinee.catalogue.api import Asset, Genre, Title
from matinee.catalogue.ports import Changes, ListEntry, StoredTitle, TitleFilter
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, TitleId
from matinee.kit.lru import LruCache

FRESH_MS = 500
_FRESH = timedelta(milliseconds=FRESH_MS)
_log = log.get()


class TitleSource(Protocol):
    """What a read model reads from: a `TitleStore`, or a source with the same revisions."""

    async def load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        """See `TitleStore.load`."""

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        """See `TitleStore.browse`."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """See `TitleStore.asset`."""

    async def genres(self) -> list[Genre]:
        """See `TitleStore.genres`."""

    async def list_changes(self, since: int) -> Changes:
        """See `TitleStore.list_changes`."""


class MemoryReadModel:
    """Caches the most recently used titles, assets and lists of a source."""

    def __init__(
        self,
        *,
        store: TitleSource,
        clock: Clock,
        titles_limit: int = 5_000,
        assets_limit: int = 300,
        lists_limit: int = 500,
    ) -> None:
        self._store = store
        self._clock = clock
        self._titles: LruCache[TitleId, StoredTitle] = LruCache(titles_limit)
        self._assets: LruCache[AssetId, Asset] = LruCache(assets_limit)
        self._lists: LruCache[Hashable, _List] = LruCache(lists_limit)
        self._single_flight = _SingleFlight()
        self._genres: list[Genre] | None = None
        self._revision = 0
        self._fresh_at: datetime | None = None
        self._used = asyncio.Event()

    async def titles(self, title_ids: list[TitleId]) -> dict[TitleId, Title]:
        await self._freshen()
        found = {title_id: stored.title for title_id in title_ids if (stored := self._titles.get(title_id))}
        if missing := [title_id for title_id in dict.fromkeys(title_ids) if title_id not in found]:
            found |= {stored.title.title_id: stored.title for stored in await self._load(missing)}
        return found

    async def load_entries(self, entries: list[ListEntry]) -> list[Title]:
        if max((entry.revision for entry in entries), default=0) > self._revision:
            await self.catch_up()
        found = await self.titles([entry.title_id for entry in entries])
        return [found[entry.title_id] for entry in entries if entry.title_id in found]

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        await self._freshen()
        revision, now = self._revision, self._clock.now()
        key = (wanted.territory, wanted.maturity, wanted.genre_id, wanted.kind, after, limit)
        known = self._lists.get(key)
        if known is not None and known.revision == revision and timedelta(0) <= now - known.read_at < _FRESH:
            return known.entries

        async def read() -> list[ListEntry]:
            entries = await self._store.browse(wanted, after, limit)
            self._lists.put(key, _List(entries, revision, now))
            return entries

        # Many home pages at once need the same lists.
        found: list[ListEntry] = await self._single_flight.run((revision, *key), read)
        return found

    async def asset(self, asset_id: AssetId) -> Asset | None:
        await self._freshen()
        if (cached := self._assets.get(asset_id)) is not None:
            return cached
        revision = self._revision
        asset: Asset | None = await self._single_flight.run((asset_id, revision), lambda: self._store.asset(asset_id))
        if asset is not None and revision == self._revision:
            self._assets.put(asset_id, asset)
        return asset

    async def genres(self) -> list[Genre]:
        await self._freshen()
        if self._genres is not None:
            return self._genres
        revision = self._revision
        genres: list[Genre] = await self._single_flight.run(("genres", revision), self._store.genres)
        if revision == self._revision:
            self._genres = genres
        return genres

    async def catch_up(self) -> None:
        asked_at = self._clock.now()
        changes = await self._store.list_changes(self._revision)
        if changes.truncated or changes.title_ids:
            self._genres = None
        if changes.truncated:
            self._titles.clear()
            self._assets.clear()
        for title_id in changes.title_ids:
            self._titles.drop(title_id)
        if changes.title_ids:
            changed = set(changes.title_ids)
            self._assets.drop_where(lambda asset: asset.title_id in changed)
        self._revision = max(self._revision, changes.revision)
        self._fresh_at = asked_at

    async def wait_for_use(self, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._used.wait()
        self._used.clear()

    async def _freshen(self) -> None:
        self._used.set()
        # After a clock was set back the age is negative.
        if self._fresh_at is not None and timedelta(0) <= self._clock.now() - self._fresh_at < _FRESH:
            return
        try:
            await self._single_flight.run("freshen", self.catch_up)
        except Exception as error:  # stale entries are better than none while the store is unavailable
            _log.warning("catalogue.stale", error=repr(error))

    async def _load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        # The revision is part of the key, so that a read after a change does not share the result of one before it.
        key = (self._revision, *title_ids)
        found: list[StoredTitle] = await self._single_flight.run(key, lambda: self._store.load(title_ids))
        for stored in found:
            if stored.as_of >= self._revision:
                self._titles.put(stored.title.title_id, stored)
        return found


class _List(NamedTuple):
    """A page of a list, and at which revision and when it was read."""

    entries: list[ListEntry]
    revision: int
    read_at: datetime


class _SingleFlight:
    """Shares one call among all callers that ask for the same key while it runs."""

    def __init__(self) -> None:
        self._running: dict[Any, asyncio.Task[Any]] = {}

    async def run(self, key: Any, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(call())
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)  # a cancelled caller must not cancel the call of the others
