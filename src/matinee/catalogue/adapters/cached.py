"""The read model of many instances: each has its own memory, and below it a cache that all of them share.

A cached value is never believed by itself. It says as of which revision of the store it was read; the store says what
changed after a revision, and is asked that all the time anyway. A value is handed out only if its title has not
changed since. So nothing needs to be invalidated, and a cache that was away, lost what it was told or came back full
of old values costs one look-up, and no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from matinee.catalogue.adapters.memory import MemoryReadModel, Source
from matinee.catalogue.api import Asset
from matinee.catalogue.ports import Changes, Stored
from matinee.drivers.cache import Cache, Guard, Policy
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, TitleId

# How many of the store's last changes are looked at in the beginning: values older than these are read anew.
LOOK_BACK = 900
CHANGED_LIMIT = 20_000
POLICY = Policy(ttl_ms=6 * 3_600_000, wait_ms=200)


class KeptTitle(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of a title as of a revision; empty where there was none."""

    title_id: TitleId
    as_of: int
    stored: Stored | None


class KeptAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as of a revision."""

    as_of: int
    asset: Asset


class CachedReadModel(MemoryReadModel):
    """`MemoryReadModel` above a shared cache. Call `close` in the end."""

    def __init__(self, *, store: Source, guard: Guard, clock: Clock, policy: Policy = POLICY) -> None:
        self._shared = SharedTitles(store=store, guard=guard, clock=clock, policy=policy)
        super().__init__(store=self._shared, clock=clock)

    async def close(self) -> None:
        """End what runs behind."""
        await self._shared.close()


class SharedTitles:
    """A source behind the shared cache."""

    def __init__(self, *, store: Source, guard: Guard, clock: Clock, policy: Policy) -> None:
        self._store = store
        self._titles: Cache[KeptTitle] = Cache(
            guard, name="catalogue.titles", kind=KeptTitle, clock=clock, policy=policy
        )
        # That there is no asset says nothing of a title by which it could be judged: it is not remembered.
        some = msgspec.structs.replace(policy, none_ms=0)
        self._assets: Cache[KeptAsset] = Cache(guard, name="catalogue.assets", kind=KeptAsset, clock=clock, policy=some)
        self._known = _Known()

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        judged: dict[TitleId, int] = {}

        def valid(kept: KeptTitle) -> bool:
            judged[kept.title_id] = self._known.newest
            return self._known.holds(kept.title_id, kept.as_of)

        found = await self._titles.get_many(title_ids, self._load, valid=valid)
        return [
            msgspec.structs.replace(kept.stored, as_of=max(kept.stored.as_of, judged.get(kept.title_id, 0)))
            for kept in found.values()
            if kept.stored is not None
        ]

    async def asset(self, asset_id: AssetId) -> Asset | None:
        async def load() -> KeptAsset | None:
            as_of = self._known.newest
            asset = await self._store.asset(asset_id)
            return None if asset is None else KeptAsset(as_of=as_of, asset=asset)

        kept = await self._assets.get(
            asset_id, load, valid=lambda kept: self._known.holds(kept.asset.title_id, kept.as_of)
        )
        return None if kept is None else kept.asset

    async def changed(self, since: int) -> Changes:
        changes = await self._store.changed(since)
        if self._known.newest == 0 and changes.revision > 0:
            start = max(0, changes.revision - LOOK_BACK)
            self._known.learn(start, await self._store.changed(start))
        else:
            self._known.learn(since, changes)
        return changes

    async def close(self) -> None:
        """End what runs behind."""
        await self._titles.close()
        await self._assets.close()

    async def _load(self, title_ids: list[str]) -> Mapping[str, KeptTitle]:
        # What is read now is at least as new as what is known now; of a title that is not there nothing else tells.
        as_of = self._known.newest
        found = {stored.title.title_id: stored for stored in await self._store.load([*map(TitleId, title_ids)])}
        self._known.met = max(self._known.met, *(stored.as_of for stored in found.values()), 0)
        return {
            title_id: KeptTitle(title_id=title_id, as_of=stored.as_of if stored else as_of, stored=stored)
            for title_id, stored in ((TitleId(each), found.get(TitleId(each))) for each in title_ids)
        }


class _Known:
    """What is known here of the store's changes: all of those after `start`, up to `newest`. It was met at `met`."""

    def __init__(self) -> None:
        self.newest = 0
        self.met = 0
        self._start = 0
        self._changed: dict[TitleId, int] = {}

    def learn(self, since: int, changes: Changes) -> None:
        """What changed after `since`; each of these at the latest in the newest revision."""
        if changes.all_of_them or self.newest == 0 or len(self._changed) > CHANGED_LIMIT:
            self._changed.clear()
            self._start = changes.revision if changes.all_of_them or self.newest else since
        for title_id in changes.title_ids:  # answers may come in another order than they were given
            self._changed[title_id] = max(self._changed.get(title_id, 0), changes.revision)
        self.newest = max(self.newest, changes.revision)

    def holds(self, title_id: TitleId, as_of: int) -> bool:
        """Whether what was read of a title as of a revision is still so, as far as is known here.

        What is newer than all that this store was met at is not believed: it may be from before a backup was brought
        back.
        """
        return self._start <= as_of <= max(self.newest, self.met) and self._changed.get(title_id, 0) <= as_of
