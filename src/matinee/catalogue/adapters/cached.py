"""The read model for several instances: a cache in each instance's memory above a cache that all instances share.

Each cached value carries the store's revision at which it was read. The changes of the store, which every instance
follows anyway, tell whether the title has changed since; only then is the value used. Nothing is invalidated, so a
cache that was unavailable, lost entries or returned with old ones costs an extra read and never returns stale data.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from matinee.catalogue.adapters.memory import MemoryReadModel, TitleSource
from matinee.catalogue.api import Asset, Genre
from matinee.catalogue.ports import Changes, StoredTitle
from matinee.drivers.cache import Cache, CacheClient, CachePolicy
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, TitleId

# How many of the latest changes are read at the start: older values are read from the store again.
INITIAL_CHANGES = 900
CHANGED_LIMIT = 20_000
POLICY = CachePolicy(ttl_ms=6 * 3_600_000, wait_ms=200)


class CachedTitle(msgspec.Struct, frozen=True, kw_only=True):
    """A title as of a revision of the store; `stored` is None if there was no such title."""

    title_id: TitleId
    as_of: int
    stored: StoredTitle | None


class CachedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as of a revision of the store."""

    as_of: int
    asset: Asset


class CachedReadModel(MemoryReadModel):
    """A `MemoryReadModel` above a shared cache. Call `close` at the end."""

    def __init__(self, *, store: TitleSource, client: CacheClient, clock: Clock, policy: CachePolicy = POLICY) -> None:
        self._shared = SharedTitleSource(store=store, client=client, clock=clock, policy=policy)
        super().__init__(store=self._shared, clock=clock)

    async def close(self) -> None:
        """Stop background work."""
        await self._shared.close()


class SharedTitleSource:
    """A source of titles and assets that reads through the shared cache."""

    def __init__(self, *, store: TitleSource, client: CacheClient, clock: Clock, policy: CachePolicy) -> None:
        self._store = store
        self._titles: Cache[CachedTitle] = Cache(
            client, name="catalogue.titles", kind=CachedTitle, clock=clock, policy=policy
        )
        # A missing asset names no title whose changes could outdate the entry, so absence is not cached.
        found_only = msgspec.structs.replace(policy, absent_ttl_ms=0)
        self._assets: Cache[CachedAsset] = Cache(
            client, name="catalogue.assets", kind=CachedAsset, clock=clock, policy=found_only
        )
        self._history = _ChangeHistory()

    async def load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        newest_by_id: dict[TitleId, int] = {}

        def is_current(cached: CachedTitle) -> bool:
            newest_by_id[cached.title_id] = self._history.newest
            return self._history.is_current(cached.title_id, cached.as_of)

        found = await self._titles.get_many(title_ids, self._load, is_valid=is_current)
        return [
            msgspec.structs.replace(cached.stored, as_of=max(cached.stored.as_of, newest_by_id.get(cached.title_id, 0)))
            for cached in found.values()
            if cached.stored is not None
        ]

    async def asset(self, asset_id: AssetId) -> Asset | None:
        async def load() -> CachedAsset | None:
            as_of = self._history.newest
            asset = await self._store.asset(asset_id)
            return None if asset is None else CachedAsset(as_of=as_of, asset=asset)

        def is_current(cached: CachedAsset) -> bool:
            return self._history.is_current(cached.asset.title_id, cached.as_of)

        cached = await self._assets.get(asset_id, load, is_valid=is_current)
        return None if cached is None else cached.asset

    async def genres(self) -> list[Genre]:
        return await self._store.genres()

    async def list_changes(self, since: int) -> Changes:
        changes = await self._store.list_changes(since)
        if self._history.newest == 0 and changes.revision > 0:
            start = max(0, changes.revision - INITIAL_CHANGES)
            self._history.add(start, await self._store.list_changes(start))
        else:
            self._history.add(since, changes)
        return changes

    async def close(self) -> None:
        """Stop background work."""
        await self._titles.close()
        await self._assets.close()

    async def _load(self, title_ids: list[str]) -> Mapping[str, CachedTitle]:
        # A missing title has no revision of its own; the read is at least as new as the newest known revision.
        as_of = self._history.newest
        found = {stored.title.title_id: stored for stored in await self._store.load([*map(TitleId, title_ids)])}
        self._history.newest_read = max(self._history.newest_read, *(stored.as_of for stored in found.values()), 0)
        return {
            title_id: CachedTitle(title_id=title_id, as_of=stored.as_of if stored else as_of, stored=stored)
            for title_id, stored in ((TitleId(each), found.get(TitleId(each))) for each in title_ids)
        }


class _ChangeHistory:
    """The store's changes after one revision up to `newest`; `newest_read` is the newest revision of any read."""

    def __init__(self) -> None:
        self.newest = 0
        self.newest_read = 0
        self._start = 0
        self._changed: dict[TitleId, int] = {}

    def add(self, since: int, changes: Changes) -> None:
        """Add the changes after `since`; the revision of each is taken to be the newest one."""
        if changes.truncated or self.newest == 0 or len(self._changed) > CHANGED_LIMIT:
            self._changed.clear()
            self._start = changes.revision if changes.truncated or self.newest else since
        for title_id in changes.title_ids:  # concurrent reads may arrive out of order
            self._changed[title_id] = max(self._changed.get(title_id, 0), changes.revision)
        self.newest = max(self.newest, changes.revision)

    def is_current(self, title_id: TitleId, as_of: int) -> bool:
        """Return whether a title has not changed since a revision, as far as the known changes tell.

        A revision above all that were read is rejected: it may date from before a backup was restored.
        """
        return self._start <= as_of <= max(self.newest, self.newest_read) and self._changed.get(title_id, 0) <= as_of
