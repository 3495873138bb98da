"""The read model on Cassandra: titles and assets by id, written there from the store's changes.

Every instance follows the store's revisions. Whoever finds that the rows are behind writes the titles that changed,
with their current assets, and then moves `catalogue_projection` on by compare-and-set; it says up to which revision
all rows are there. Rows are written with the revision as their timestamp, so that of two writers the one that saw
the later state wins, however late the other comes, and writing twice costs nothing but the writing.

Rows are read from one near replica. Those that changed since this instance started to look are read from a quorum,
as they were written to one: so nobody is behind what it knows, whichever replica missed a write. While the rows do not
serve (they are not all there yet, a change has not reached them, Cassandra is away) the store is asked. While the store
is away, the rows are what is at hand.

Caches may lie above: the model is a source for them as well (`load`, `asset`, `changed`). What they keep must be as new
as it says, so rows are then read from a quorum alone.

A store that was put back to an earlier state (a backup) has a lower revision than the projection. Then a new
generation begins: rows of an older one are not believed, and all are written anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self, TypeVar
from uuid import UUID

import msgspec

from matinee.catalogue.api import Asset, Title
from matinee.catalogue.model.rules import asset_ids
from matinee.catalogue.ports import Changes, Listed, Stored, TitleStore
from matinee.drivers.cassandra import NEAR_ONE, Cassandra, Query, uuid_of
from matinee.drivers.cassandra_schema import migrate
from matinee.drivers.engine import TROUBLES
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, TitleId

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS catalogue_title (
      title_id uuid PRIMARY KEY, generation int, revision bigint, body blob)""",
    """CREATE TABLE IF NOT EXISTS catalogue_asset (
      asset_id uuid PRIMARY KEY, generation int, revision bigint, body blob)""",
    """CREATE TABLE IF NOT EXISTS catalogue_projection (
      name text PRIMARY KEY, generation int, revision bigint)""",
)
_TITLE = Query("SELECT generation, revision, body FROM catalogue_title WHERE title_id = ?")
_ASSET = Query("SELECT generation, revision, body FROM catalogue_asset WHERE asset_id = ?")
_PUT_TITLE = Query(
    "INSERT INTO catalogue_title (title_id, generation, revision, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_PUT_ASSET = Query(
    "INSERT INTO catalogue_asset (asset_id, generation, revision, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_PROJECTION = Query("SELECT generation, revision FROM catalogue_projection WHERE name = 'titles'")
_BEGIN = Query(
    "INSERT INTO catalogue_projection (name, generation, revision) VALUES ('titles', 1, 0) IF NOT EXISTS", again=False
)
_MOVE = Query(
    "UPDATE catalogue_projection SET generation = ?, revision = ? WHERE name = 'titles'"
    " IF generation = ? AND revision = ?",
    again=False,
)
FRESH_MS: Final = 500
AT_ONCE: Final = 32
PAGE: Final = 200
# So many changed titles and assets are remembered; what changed longer ago has reached every replica by then.
REMEMBERED: Final = 20_000
# A generation's timestamps are above those of the one before.
_GENERATION: Final = 1 << 40

K = TypeVar("K", TitleId, AssetId)
_log = log.get()
_title = msgspec.json.Decoder(Title)
_asset = msgspec.json.Decoder(Asset)


class _At(NamedTuple):
    """Up to where the rows are there."""

    generation: int
    revision: int


class _Row(NamedTuple):
    """A title or an asset, as of a revision."""

    revision: int
    body: bytes


class CassandraReadModel:
    """A `ReadModel` of rows in Cassandra, above a store. `serves`: whether the rows answer, and not the store."""

    def __init__(self, cassandra: Cassandra, *, store: TitleStore, clock: Clock, cached: bool = False) -> None:
        self._cassandra = cassandra
        self._cached = cached
        self._store = store
        self._clock = clock
        self._generation, self._revision = 0, 0
        self._changed: OrderedDict[str, None] = OrderedDict()
        self._fresh_until: datetime | None = None
        self._lock = asyncio.Lock()
        self._rebuilding: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._is_migrated = self.serves = False

    @classmethod
    async def open(cls, cassandra: Cassandra, *, store: TitleStore, clock: Clock, cached: bool = False) -> Self:
        """The read model in a keyspace, its tables brought up to date. Its rows are written by `catch_up`.

        `cached`: caches above keep what is read here, and nobody waits for an engine that is away, here neither.
        """
        model = cls(cassandra, store=store, clock=clock, cached=cached)
        if not cached:
            await model._migrate()
        return model

    async def close(self) -> None:
        """Leave a rebuilding that is under way to others."""
        running = [task for task in (self._rebuilding, self._reviving) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def titles(self, title_ids: list[TitleId]) -> dict[TitleId, Title]:
        return await self._titles(dict.fromkeys(title_ids, 0))

    async def listed(self, places: list[Listed]) -> list[Title]:
        found = await self._titles({place.title_id: place.revision for place in places})
        return [found[place.title_id] for place in places if place.title_id in found]

    async def asset(self, asset_id: AssetId) -> Asset | None:
        if not self._cached:  # whoever is above does so itself
            await self._freshen()
        found = (await self._rows(_ASSET, AssetId, {asset_id: 0})).get(asset_id)
        if found is not None:
            return _asset.decode(found.body)
        return await self._store.asset(asset_id)  # also one that is no longer current: whoever has begun may go on

    async def catch_up(self) -> None:
        if self._rebuilding is None:
            async with self._lock:
                await self._follow()

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        """As `TitleStore.load`, for a cache above: not older than what `changed` has told."""
        at = _At(self._generation, self._revision)
        rows = await self._rows(_TITLE, TitleId, dict.fromkeys(title_ids, 0))
        as_of = at.revision if at.generation == self._generation else 0
        found = [
            Stored(title=_title.decode(row.body), revision=row.revision, as_of=as_of)
            for row in rows.values()
            if row is not None
        ]
        short = [id_ for id_ in title_ids if id_ not in rows]
        return found + (await self._store.load(short) if short else [])

    async def changed(self, since: int) -> Changes:
        """As `TitleStore.changed`, for a cache above; rows that serve are brought up to what it tells."""
        if self.serves:
            await self.catch_up()
        elif self._reviving is None:  # nobody waits for an engine that is away
            self._reviving = asyncio.create_task(self._revive())
        try:
            changes = await self._store.changed(since)
        except TROUBLES:
            if self._reviving is not None:  # the rows are all there is
                await asyncio.wait([self._reviving])
            raise
        if self.serves and self._revision < changes.revision:
            await self.catch_up()
        return changes

    async def _revive(self) -> None:
        try:
            await self.catch_up()
        except Exception as error:
            _log.warning("catalogue.stale", error=repr(error))
        finally:
            self._reviving = None

    async def _titles(self, wanted: dict[TitleId, int]) -> dict[TitleId, Title]:
        """The titles by id, each at least of a revision where the store is there to give it."""
        await self._freshen()
        rows = await self._rows(_TITLE, TitleId, wanted)
        # A title without a row is not there, unless a list says that it is.
        short = [id_ for id_, least in wanted.items() if id_ not in rows or _revision(rows[id_]) < least]
        found = {id_: _title.decode(row.body) for id_, row in rows.items() if row is not None}
        if short:
            try:
                found |= {stored.title.title_id: stored.title for stored in await self._store.load(short)}
            except TROUBLES as error:
                if not rows:
                    raise
                _log.warning("catalogue.stale", error=repr(error))
        return found

    async def _rows(self, query: Query, kind: Callable[[str], K], wanted: dict[K, int]) -> dict[K, _Row | None]:
        """The rows by id; none where they do not serve."""
        known = [(id_, least) for id_, least in wanted.items() if _is_id(kind, id_)] if self.serves else []
        rows: dict[K, _Row | None] = {}
        try:
            for some in _chunks(known, PAGE):
                found = await asyncio.gather(*(self._row(query, kind, id_, least) for id_, least in some))
                rows |= {id_: row for (id_, _), row in zip(some, found, strict=True)}
        except TROUBLES as error:
            self._distrust(error)
            return {}
        return rows

    async def _row(self, query: Query, kind: Callable[[str], K], id_: K, least: int) -> _Row | None:
        key = uuid_of(kind, id_)
        if id_ not in self._changed and not self._cached:
            found = await self._believed(query._replace(consistency=NEAR_ONE), key)
            if _revision(found) >= max(least, 1):
                return found
        return await self._believed(query, key)

    async def _believed(self, query: Query, key: UUID) -> _Row | None:
        rows = await self._cassandra.rows(query, key)
        return _Row(*rows[0][1:]) if rows and rows[0][0] == self._generation else None

    def _distrust(self, error: Exception) -> None:
        if self.serves:
            _log.warning("catalogue.cassandra_away", error=repr(error))
        self.serves = False

    async def _freshen(self) -> None:
        """See what has changed if nobody has for a while; while a first run is under way, the store serves."""
        if self._is_fresh() or self._rebuilding is not None or (not self.serves and self._lock.locked()):
            return
        try:
            async with self._lock:
                if not self._is_fresh():
                    await self._follow()
        except Exception as error:  # what is at hand is better than nothing while the store is away
            _log.warning("catalogue.stale", error=repr(error))

    def _is_fresh(self) -> bool:
        return self._fresh_until is not None and self._clock.now() < self._fresh_until

    async def _follow(self) -> None:
        """Bring the rows and what is known here up to the store's newest revision."""
        asked_at = self._clock.now()
        self._fresh_until = asked_at + timedelta(milliseconds=FRESH_MS)
        try:
            await self._migrate()
            at = await self._projection()
        except TROUBLES as error:
            return self._distrust(error)
        try:
            changes = await self._store.changed(min(at.revision, self._revision or at.revision))
        except Exception:
            self.serves = at.revision > 0
            raise
        if changes.revision < at.revision:
            _log.warning("catalogue.store_went_back", revision=changes.revision, projected=at.revision)
            return await self._write(at, _At(at.generation + 1, 0), [])
        if changes.all_of_them:
            self.serves = False
            self._rebuilding = asyncio.create_task(self._rebuild(at, changes.revision))
            return None
        await self._write(at, _At(at.generation, changes.revision), changes.title_ids)
        return None

    async def _write(self, at: _At, to: _At, title_ids: Sequence[TitleId]) -> None:
        """Bring rows from one state to the next; where that fails they do not serve until it was done."""
        try:
            if at == to:
                await self._project(title_ids, at, write=False)
            else:
                self.serves = False
                await self._project(title_ids, at, write=True)
                await self._cassandra.applied(_MOVE, *to, *at)
        except TROUBLES as error:
            return self._distrust(error)
        if at.generation == to.generation:
            self._revision, self.serves = to.revision, True
        else:
            self._fresh_until = None
        return None

    async def _migrate(self) -> None:
        if not self._is_migrated:
            await migrate(self._cassandra, "catalogue", SCHEMA)
            self._is_migrated = True

    async def _projection(self) -> _At:
        rows = await self._cassandra.rows(_PROJECTION)
        if not rows:
            await self._cassandra.applied(_BEGIN)
            rows = await self._cassandra.rows(_PROJECTION)
        at = _At(*rows[0])
        if at.generation != self._generation:
            self._generation, self._revision, self.serves = at.generation, 0, False
        return at

    async def _rebuild(self, at: _At, revision: int) -> None:
        """Write everything; what changes meanwhile is caught up with at the end, before the rows serve."""
        try:
            after: tuple[datetime, TitleId] | None = None
            while page := await self._store.everything(after, PAGE):
                await self._project([place.title_id for place in page], at, write=True)
                after = (page[-1].at, page[-1].title_id)
            async with self._lock:
                await self._cassandra.applied(_MOVE, at.generation, revision, *at)
                self._rebuilding = None  # from here on, who catches up waits for the lock
                self._revision = revision
                await self._follow()
        except Exception as error:  # it is begun again
            _log.warning("catalogue.rebuild_failed", error=repr(error))
            self._rebuilding = None

    async def _project(self, title_ids: Sequence[TitleId], at: _At, *, write: bool) -> None:
        """Remember that titles changed, and their assets; `write`: nobody has written the rows yet."""
        for some in _chunks(title_ids, PAGE):
            stored = await self._store.load(list(some))
            for batch in _chunks(stored, AT_ONCE):
                await asyncio.gather(*(self._project_one(one, at, write) for one in batch))

    async def _project_one(self, stored: Stored, at: _At, write: bool) -> None:
        title, revision = stored.title, stored.revision
        self._note([title.title_id, *asset_ids(title)])
        if not write or not _is_id(TitleId, title.title_id):
            return
        stamp = at.generation * _GENERATION + revision
        for asset_id in filter(lambda id_: _is_id(AssetId, id_), asset_ids(title)):
            if (asset := await self._store.asset(asset_id)) is not None:
                body = msgspec.json.encode(asset)
                await self._cassandra.run(_PUT_ASSET, uuid_of(AssetId, asset_id), at.generation, revision, body, stamp)
        body = msgspec.json.encode(title)
        await self._cassandra.run(_PUT_TITLE, uuid_of(TitleId, title.title_id), at.generation, revision, body, stamp)

    def _note(self, changed: Iterable[str]) -> None:
        for id_ in changed:
            self._changed[id_] = None
            self._changed.move_to_end(id_)
        while len(self._changed) > REMEMBERED:
            self._changed.popitem(last=False)


def _revision(row: _Row | None) -> int:
    return 0 if row is None else row.revision


def _is_id(kind: Callable[[str], str], text: str) -> bool:
    try:
        uuid_of(kind, text)
    except ValueError:
        return False
    return True


T = TypeVar("T")


def _chunks(all_: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (all_[start : start + size] for start in range(0, len(all_), size))
