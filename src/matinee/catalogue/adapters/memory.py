"""The read model in this process: titles and assets by id, kept fresh by the store's revisions.

Nothing is trusted for longer than `FRESH_MS`: whoever comes first after that asks the store what has changed since
the newest revision known here and drops it, so two instances agree within that time. A value is kept only if it was
read at or after the newest revision known here: one read before a change and arriving after it is handed on, not kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from matinee.catalogue.api import Asset, Title
from matinee.catalogue.ports import Changes, Listed, Stored
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, TitleId

K = TypeVar("K")
V = TypeVar("V")
FRESH_MS = 500
_log = log.get()


class Source(Protocol):
    """What a read model reads: a `TitleStore`, or another that numbers its changes in the same way."""

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        """As `TitleStore.load`."""

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """As `TitleStore.asset`."""

    async def changed(self, since: int) -> Changes:
        """As `TitleStore.changed`."""


class MemoryReadModel:
    """Least recently used titles and assets above a source."""

    def __init__(self, *, store: Source, clock: Clock, titles_limit: int = 5_000, assets_limit: int = 300) -> None:
        self._store = store
        self._clock = clock
        self._titles: _Recent[TitleId, Stored] = _Recent(titles_limit)
        self._assets: _Recent[AssetId, Asset] = _Recent(assets_limit)
        self._once: _Once = _Once()
        self._revision = 0
        self._fresh_until: datetime | None = None

    async def titles(self, title_ids: list[TitleId]) -> dict[TitleId, Title]:
        await self._freshen()
        found = {title_id: stored.title for title_id in title_ids if (stored := self._titles.get(title_id))}
        if missing := [title_id for title_id in dict.fromkeys(title_ids) if title_id not in found]:
            found |= {stored.title.title_id: stored.title for stored in await self._load(missing)}
        return found

    async def listed(self, places: list[Listed]) -> list[Title]:
        if max((place.revision for place in places), default=0) > self._revision:
            await self.catch_up()
        found = await self.titles([place.title_id for place in places])
        return [found[place.title_id] for place in places if place.title_id in found]

    async def asset(self, asset_id: AssetId) -> Asset | None:
        await self._freshen()
        if (kept := self._assets.get(asset_id)) is not None:
            return kept
        revision = self._revision
        asset: Asset | None = await self._once.run((asset_id, revision), lambda: self._store.asset(asset_id))
        if asset is not None and revision == self._revision:
            self._assets.put(asset_id, asset)
        return asset

    async def catch_up(self) -> None:
        asked_at = self._clock.now()
        changes = await self._store.changed(self._revision)
        if changes.all_of_them:
            self._titles.clear()
            self._assets.clear()
        for title_id in changes.title_ids:
            self._titles.drop(title_id)
        if changes.title_ids:
            changed = set(changes.title_ids)
            self._assets.drop_where(lambda asset: asset.title_id in changed)
        self._revision = max(self._revision, changes.revision)
        self._fresh_until = asked_at + timedelta(milliseconds=FRESH_MS)

    async def _freshen(self) -> None:
        if self._fresh_until is not None and self._clock.now() < self._fresh_until:
            return
        try:
            await self._once.run("freshen", self.catch_up)
        except Exception as error:  # what is at hand is better than nothing while the store is away
            _log.warning("catalogue.stale", error=repr(error))

    async def _load(self, title_ids: list[TitleId]) -> list[Stored]:
        # The revision is part of the name: who asks after a change does not wait for an answer from before it.
        name = (self._revision, *title_ids)
        found: list[Stored] = await self._once.run(name, lambda: self._store.load(title_ids))
        for stored in found:
            if stored.as_of >= self._revision:
                self._titles.put(stored.title.title_id, stored)
        return found


class _Recent(Generic[K, V]):
    """The values used last, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        self._values.pop(key, None)

    def drop_where(self, doomed: Callable[[V], bool]) -> None:
        for key in [key for key, value in self._values.items() if doomed(value)]:
            del self._values[key]

    def clear(self) -> None:
        self._values.clear()


class _Once:
    """One call for all who ask the same while it is under way."""

    def __init__(self) -> None:
        self._running: dict[Any, asyncio.Task[Any]] = {}

    async def run(self, name: Any, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(call())
            task.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(task)  # who gives up does not take the answer from the others
