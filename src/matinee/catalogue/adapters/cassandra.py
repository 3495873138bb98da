"""The read model's source on Cassandra: titles and assets by id, written there from the store's changes.

Every instance follows the store's revisions. Whoever finds that the rows are behind writes the titles that changed,
with their current assets, and then moves `catalogue_projection` on by compare-and-set; it says up to which revision
all rows are there. Rows are written with the revision as their timestamp, so that of two writers the one that saw
the later state wins, however late the other comes, and writing twice costs nothing but the writing.

The rows are a source for the caches that lie above (`load`, `asset`, `changed`, as a `TitleStore` has them). What these
keep must be as new as it says, so rows are read from a quorum, as they were written to one. While the rows do not serve
(they are not all there yet, a change has not reached them, Cassandra is away) the store is asked, and nobody waits for
Cassandra. While the store is away, the rows are what is at hand.

A store that was put back to an earlier state (a backup) has a lower revision than the projection. Then a new
generation begins: rows of an older one are not believed, and all are written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from matinee.catalogue.api import Asset, Title
from matinee.catalogue.model.rules import asset_ids
from matinee.catalogue.ports import Changes, Stored, TitleStore
from matinee.drivers.cassandra import Cassandra, Query, to_uuid
from matinee.drivers.cassandra_schema import migrate
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit import log
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
    "INSERT INTO catalogue_projection (name, generation, revision) VALUES ('titles', 1, 0) IF NOT EXISTS",
    idempotent=False,
)
_MOVE = Query(
    "UPDATE catalogue_projection SET generation = ?, revision = ? WHERE name = 'titles'"
    " IF generation = ? AND revision = ?",
    idempotent=False,
)
AT_ONCE: Final = 32
PAGE: Final = 200
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


class CassandraTitles:
    """A source of rows in Cassandra, above a store. `serves`: whether the rows answer, and not the store.

    Its tables are brought up to date, and its rows written, by `catch_up`. Call `close` in the end.
    """

    def __init__(self, cassandra: Cassandra, *, store: TitleStore) -> None:
        self._cassandra = cassandra
        self._store = store
        self._generation, self._revision = 0, 0
        self._lock = asyncio.Lock()
        self._rebuilding: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._is_migrated = self.serves = False

    async def close(self) -> None:
        """Leave a rebuilding that is under way to others."""
        running = [task for task in (self._rebuilding, self._reviving) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def load(self, title_ids: list[TitleId]) -> list[Stored]:
        """As `TitleStore.load`; not older than what `changed` has told."""
        at = _At(self._generation, self._revision)
        rows = await self._rows(_TITLE, TitleId, title_ids)
        as_of = at.revision if at.generation == self._generation else 0
        found = [
            Stored(title=_title.decode(row.body), revision=row.revision, as_of=as_of)
            for row in rows.values()
            if row is not None
        ]
        short = [id_ for id_ in title_ids if id_ not in rows]
        return found + (await self._store.load(short) if short else [])

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """As `TitleStore.asset`: also one that is no longer current, so that whoever has begun may go on."""
        row = (await self._rows(_ASSET, AssetId, [asset_id])).get(asset_id)
        return await self._store.asset(asset_id) if row is None else _asset.decode(row.body)

    async def changed(self, since: int) -> Changes:
        """As `TitleStore.changed`; rows that serve are brought up to what it tells."""
        if self.serves:
            await self.catch_up()
        elif self._reviving is None:  # nobody waits for an engine that is away
            self._reviving = asyncio.create_task(self._revive())
        try:
            changes = await self._store.changed(since)
        except ENGINE_PROBLEMS:
            if self._reviving is not None:  # the rows are all there is
                await asyncio.wait([self._reviving])
            raise
        if self.serves and self._revision < changes.revision:
            await self.catch_up()
        return changes

    async def catch_up(self) -> None:
        """Bring the rows up to the store's newest revision; a rebuilding that is under way does so in its end."""
        if self._rebuilding is None:
            async with self._lock:
                await self._follow()

    async def _revive(self) -> None:
        try:
            await self.catch_up()
        except Exception as error:
            _log.warning("catalogue.stale", error=repr(error))
        finally:
            self._reviving = None

    async def _rows(self, query: Query, kind: Callable[[str], K], wanted: Sequence[K]) -> dict[K, _Row | None]:
        """The rows by id; none where they do not serve."""
        known = [id_ for id_ in wanted if _is_id(kind, id_)] if self.serves else []
        rows: dict[K, _Row | None] = {}
        try:
            for some in _chunks(known, PAGE):
                found = await asyncio.gather(*(self._row(query, to_uuid(kind, id_)) for id_ in some))
                rows |= dict(zip(some, found, strict=True))
        except ENGINE_PROBLEMS as error:
            self._distrust(error)
            return {}
        return rows

    async def _row(self, query: Query, key: UUID) -> _Row | None:
        rows = await self._cassandra.fetch(query, key)
        return _Row(*rows[0][1:]) if rows and rows[0][0] == self._generation else None

    def _distrust(self, error: Exception) -> None:
        if self.serves:
            _log.warning("catalogue.cassandra_away", error=repr(error))
        self.serves = False

    async def _follow(self) -> None:
        """Bring the rows up to the store's newest revision."""
        try:
            await self._migrate()
            at = await self._projection()
        except ENGINE_PROBLEMS as error:
            return self._distrust(error)
        try:
            changes = await self._store.changed(at.revision)
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
        return await self._write(at, _At(at.generation, changes.revision), changes.title_ids)

    async def _write(self, at: _At, to: _At, title_ids: Sequence[TitleId]) -> None:
        """Bring rows from one state to the next; where that fails they do not serve until it was done."""
        if at != to:
            self.serves = False
            try:
                await self._project(title_ids, at)
                await self._cassandra.execute_conditional(_MOVE, *to, *at)
            except ENGINE_PROBLEMS as error:
                return self._distrust(error)
        if at.generation == to.generation:
            self._revision, self.serves = to.revision, True
        return None

    async def _migrate(self) -> None:
        if not self._is_migrated:
            await migrate(self._cassandra, "catalogue", SCHEMA)
            self._is_migrated = True

    async def _projection(self) -> _At:
        rows = await self._cassandra.fetch(_PROJECTION)
        if not rows:
            await self._cassandra.execute_conditional(_BEGIN)
            rows = await self._cassandra.fetch(_PROJECTION)
        at = _At(*rows[0])
        if at.generation != self._generation:
            self._generation, self._revision, self.serves = at.generation, 0, False
        return at

    async def _rebuild(self, at: _At, revision: int) -> None:
        """Write everything; what changes meanwhile is caught up with at the end, before the rows serve."""
        try:
            after: tuple[datetime, TitleId] | None = None
            while page := await self._store.everything(after, PAGE):
                await self._project([place.title_id for place in page], at)
                after = (page[-1].at, page[-1].title_id)
            async with self._lock:
                await self._cassandra.execute_conditional(_MOVE, at.generation, revision, *at)
                self._rebuilding = None  # from here on, who catches up waits for the lock
                self._revision = revision
                await self._follow()
        except Exception as error:  # it is begun again
            _log.warning("catalogue.rebuild_failed", error=repr(error))
            self._rebuilding = None

    async def _project(self, title_ids: Sequence[TitleId], at: _At) -> None:
        """Write titles as they are now, and their current assets."""
        for some in _chunks(title_ids, PAGE):
            stored = await self._store.load(list(some))
            for batch in _chunks(stored, AT_ONCE):
                await asyncio.gather(*(self._project_one(one, at) for one in batch))

    async def _project_one(self, stored: Stored, at: _At) -> None:
        title, revision = stored.title, stored.revision
        if not _is_id(TitleId, title.title_id):
            return
        stamp = at.generation * _GENERATION + revision
        for asset_id in filter(lambda id_: _is_id(AssetId, id_), asset_ids(title)):
            if (asset := await self._store.asset(asset_id)) is not None:
                body = msgspec.json.encode(asset)
                await self._cassandra.execute(
                    _PUT_ASSET, to_uuid(AssetId, asset_id), at.generation, revision, body, stamp
                )
        body = msgspec.json.encode(title)
        await self._cassandra.execute(
            _PUT_TITLE, to_uuid(TitleId, title.title_id), at.generation, revision, body, stamp
        )


def _is_id(kind: Callable[[str], str], text: str) -> bool:
    try:
        to_uuid(kind, text)
    except ValueError:
        return False
    return True


T = TypeVar("T")


def _chunks(all_: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (all_[start : start + size] for start in range(0, len(all_), size))
