"""A projection of the title store in Cassandra: titles and assets by id, a source for read models.

Every instance follows the store's revisions. An instance that finds the projection behind writes the changed titles
with their current assets, then advances `catalogue_projection`, the revision up to which all rows are written, by
compare-and-set. Rows carry the revision as their timestamp, so the write of the later state wins whatever the order
of arrival, and writing twice is harmless.

Read models cache what they read under its revision, so rows are written to and read from a quorum. While the
projection is incomplete, behind, or Cassandra is unavailable, reads go to the store and do not wait for Cassandra.
While the store is unavailable, reads use the rows as they are.

A store restored from a backup has a lower revision than the projection. A new generation then begins: rows of earlier
generations are ignored, and all rows are written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from matinee.catalogue.api import Asset, Genre, Title
from matinee.catalogue.model.rules import get_asset_ids
from matinee.catalogue.ports import Changes, ListEntry, StoredTitle, TitleFilter, TitleStore
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
_SELECT_TITLE = Query("SELECT generation, revision, body FROM catalogue_title WHERE title_id = ?")
_SELECT_ASSET = Query("SELECT generation, revision, body FROM catalogue_asset WHERE asset_id = ?")
_INSERT_TITLE = Query(
    "INSERT INTO catalogue_title (title_id, generation, revision, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_INSERT_ASSET = Query(
    "INSERT INTO catalogue_asset (asset_id, generation, revision, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_SELECT_PROJECTION = Query("SELECT generation, revision FROM catalogue_projection WHERE name = 'titles'")
_INSERT_PROJECTION = Query(
    "INSERT INTO catalogue_projection (name, generation, revision) VALUES ('titles', 1, 0) IF NOT EXISTS",
    idempotent=False,
)
_ADVANCE = Query(
    "UPDATE catalogue_projection SET generation = ?, revision = ? WHERE name = 'titles'"
    " IF generation = ? AND revision = ?",
    idempotent=False,
)
CONCURRENCY: Final = 32
PAGE: Final = 200
# Timestamps of a generation are above those of the generation before.
_GENERATION: Final = 1 << 40

K = TypeVar("K", TitleId, AssetId)
_log = log.get()
_title = msgspec.json.Decoder(Title)
_asset = msgspec.json.Decoder(Asset)


class _Progress(NamedTuple):
    """The revision up to which all rows of a generation are written."""

    generation: int
    revision: int


class _Row(NamedTuple):
    """A title or an asset as of a revision."""

    revision: int
    body: bytes


class CassandraTitleSource:
    """Reads from the projection while it is complete (`is_serving`), else from the store.

    `catch_up` migrates the tables and writes the rows. Call `close` at the end.
    """

    def __init__(self, cassandra: Cassandra, *, store: TitleStore) -> None:
        self._cassandra = cassandra
        self._store = store
        self._generation, self._revision = 0, 0
        self._lock = asyncio.Lock()
        self._rebuilding: asyncio.Task[None] | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._is_migrated = self.is_serving = False

    async def close(self) -> None:
        """Stop background work; another instance continues a rebuild."""
        running = [task for task in (self._rebuilding, self._resuming) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        """See `TitleStore.load`; at least as new as the last result of `list_changes`."""
        at = _Progress(self._generation, self._revision)
        rows = await self._read_rows(_SELECT_TITLE, TitleId, title_ids)
        as_of = at.revision if at.generation == self._generation else 0
        found = [
            StoredTitle(title=_title.decode(row.body), revision=row.revision, as_of=as_of)
            for row in rows.values()
            if row is not None
        ]
        missing = [title_id for title_id in title_ids if title_id not in rows]
        return found + (await self._store.load(missing) if missing else [])

    async def asset(self, asset_id: AssetId) -> Asset | None:
        """See `TitleStore.asset`."""
        row = (await self._read_rows(_SELECT_ASSET, AssetId, [asset_id])).get(asset_id)
        return await self._store.asset(asset_id) if row is None else _asset.decode(row.body)

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        """See `TitleStore.browse`."""
        return await self._store.browse(wanted, after, limit)

    async def genres(self) -> list[Genre]:
        """See `TitleStore.genres`."""
        return await self._store.genres()

    async def list_changes(self, since: int) -> Changes:
        """See `TitleStore.list_changes`; brings a complete projection up to the result."""
        if self.is_serving:
            await self.catch_up()
        elif self._resuming is None:  # requests do not wait for an unavailable engine
            self._resuming = asyncio.create_task(self._resume())
        try:
            changes = await self._store.list_changes(since)
        except ENGINE_PROBLEMS:
            if self._resuming is not None:  # the rows are the only source left
                await asyncio.wait([self._resuming])
            raise
        if self.is_serving and self._revision < changes.revision:
            await self.catch_up()
        return changes

    async def catch_up(self) -> None:
        """Bring the rows up to the store's newest revision; a running rebuild does so at its end."""
        if self._rebuilding is None:
            async with self._lock:
                await self._advance()

    async def _resume(self) -> None:
        try:
            await self.catch_up()
        except Exception as error:
            _log.warning("catalogue.stale", error=repr(error))
        finally:
            self._resuming = None

    async def _read_rows(self, query: Query, kind: Callable[[str], K], wanted: Sequence[K]) -> dict[K, _Row | None]:
        """Return rows by id, none while the projection is not serving."""
        known = [id_ for id_ in wanted if _is_valid_id(kind, id_)] if self.is_serving else []
        rows: dict[K, _Row | None] = {}
        try:
            for page in _split(known, PAGE):
                found = await asyncio.gather(*(self._read_row(query, to_uuid(kind, id_)) for id_ in page))
                rows |= dict(zip(page, found, strict=True))
        except ENGINE_PROBLEMS as error:
            self._stop_serving(error)
            return {}
        return rows

    async def _read_row(self, query: Query, key: UUID) -> _Row | None:
        rows = await self._cassandra.fetch(query, key)
        return _Row(*rows[0][1:]) if rows and rows[0][0] == self._generation else None

    def _stop_serving(self, error: Exception) -> None:
        if self.is_serving:
            _log.warning("catalogue.cassandra_unavailable", error=repr(error))
        self.is_serving = False

    async def _advance(self) -> None:
        """Bring the rows up to the store's newest revision."""
        try:
            await self._migrate()
            at = await self._read_progress()
        except ENGINE_PROBLEMS as error:
            return self._stop_serving(error)
        try:
            changes = await self._store.list_changes(at.revision)
        except Exception:
            self.is_serving = at.revision > 0
            raise
        if changes.revision < at.revision:
            _log.warning("catalogue.store_restored", revision=changes.revision, projected=at.revision)
            return await self._write_changes(at, _Progress(at.generation + 1, 0), [])
        if changes.truncated:
            self.is_serving = False
            self._rebuilding = asyncio.create_task(self._rebuild(at, changes.revision))
            return None
        return await self._write_changes(at, _Progress(at.generation, changes.revision), changes.title_ids)

    async def _write_changes(self, at: _Progress, to: _Progress, title_ids: Sequence[TitleId]) -> None:
        """Write changed titles and advance the projection; it stops serving until this has succeeded."""
        if at != to:
            self.is_serving = False
            try:
                await self._project(title_ids, at)
                await self._cassandra.execute_conditional(_ADVANCE, *to, *at)
            except ENGINE_PROBLEMS as error:
                return self._stop_serving(error)
        if at.generation == to.generation:
            self._revision, self.is_serving = to.revision, True
        return None

    async def _migrate(self) -> None:
        if not self._is_migrated:
            await migrate(self._cassandra, "catalogue", SCHEMA)
            self._is_migrated = True

    async def _read_progress(self) -> _Progress:
        rows = await self._cassandra.fetch(_SELECT_PROJECTION)
        if not rows:
            await self._cassandra.execute_conditional(_INSERT_PROJECTION)
            rows = await self._cassandra.fetch(_SELECT_PROJECTION)
        at = _Progress(*rows[0])
        if at.generation != self._generation:
            self._generation, self._revision, self.is_serving = at.generation, 0, False
        return at

    async def _rebuild(self, at: _Progress, revision: int) -> None:
        """Write all titles, then the changes made meanwhile, then start serving."""
        try:
            after: tuple[datetime, TitleId] | None = None
            while page := await self._store.everything(after, PAGE):
                await self._project([entry.title_id for entry in page], at)
                after = (page[-1].at, page[-1].title_id)
            async with self._lock:
                await self._cassandra.execute_conditional(_ADVANCE, at.generation, revision, *at)
                self._rebuilding = None  # from now on `catch_up` waits for the lock
                self._revision = revision
                await self._advance()
        except Exception as error:  # the next `catch_up` starts it again
            _log.warning("catalogue.rebuild_failed", error=repr(error))
            self._rebuilding = None

    async def _project(self, title_ids: Sequence[TitleId], at: _Progress) -> None:
        """Write the current state of titles and their assets."""
        for page in _split(title_ids, PAGE):
            stored = await self._store.load(list(page))
            for batch in _split(stored, CONCURRENCY):
                await asyncio.gather(*(self._project_title(title, at) for title in batch))

    async def _project_title(self, stored: StoredTitle, at: _Progress) -> None:
        title, revision = stored.title, stored.revision
        if not _is_valid_id(TitleId, title.title_id):
            return
        stamp = at.generation * _GENERATION + revision
        for asset_id in filter(lambda id_: _is_valid_id(AssetId, id_), get_asset_ids(title)):
            if (asset := await self._store.asset(asset_id)) is not None:
                body = msgspec.json.encode(asset)
                await self._cassandra.execute(
                    _INSERT_ASSET, to_uuid(AssetId, asset_id), at.generation, revision, body, stamp
                )
        body = msgspec.json.encode(title)
        await self._cassandra.execute(
            _INSERT_TITLE, to_uuid(TitleId, title.title_id), at.generation, revision, body, stamp
        )


def _is_valid_id(kind: Callable[[str], str], text: str) -> bool:
    try:
        to_uuid(kind, text)
    except ValueError:
        return False
    return True


T = TypeVar("T")


def _split(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
