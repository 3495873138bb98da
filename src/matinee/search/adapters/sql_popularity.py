"""`PopularityStore` in SQL: one row for each title that was played."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from sqlalchemy import Column, Connection, Double, MetaData, String, Table, bindparam, insert, select, update

from matinee.drivers.sql import Database, UtcTime
from matinee.kit.ids import TitleId
from matinee.search.model.popularity import decay

_GATHER_S = 1.0
_metadata = MetaData()
_popularity = Table(
    "search_popularity",
    _metadata,
    Column("title_id", String(40), primary_key=True),
    Column("plays", Double, nullable=False),
    Column("counted_at", UtcTime, nullable=False),
)
_p = _popularity.c
_SELECT = select(_p.title_id, _p.plays, _p.counted_at)
_SELECT_SOME = _SELECT.where(_p.title_id.in_(bindparam("ids", expanding=True))).with_for_update()
_INSERT = insert(_popularity)
_UPDATE = (
    update(_popularity)
    .where(_p.title_id == bindparam("id"))
    .values(plays=bindparam("new_plays"), counted_at=bindparam("at"))
)


class SqlPopularityStore:
    """The plays of titles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the table of a database and return the store in it."""
        await database.migrate("matinee.search.adapters:migrations", "search")
        return cls(database)

    async def add(self, plays: Mapping[TitleId, int], *, now: datetime) -> None:
        if plays:
            await self._database.write(partial(_add, plays, now), retry_on_conflict=True, gather_s=_GATHER_S)

    async def load(self, *, now: datetime) -> dict[TitleId, float]:
        rows = await self._database.read(lambda connection: connection.execute(_SELECT).all())
        return {TitleId(title_id): decay(plays, now - counted_at) for title_id, plays, counted_at in rows}


def _add(plays: Mapping[TitleId, int], now: datetime, connection: Connection) -> None:
    # Sorted, so that concurrent writers lock the rows in one order and do not deadlock.
    ids = sorted(plays)
    known = {row.title_id: row for row in connection.execute(_SELECT_SOME, {"ids": ids})}
    for title_id in ids:
        row = known.get(title_id)
        if row is None:
            connection.execute(_INSERT, {"title_id": title_id, "plays": float(plays[title_id]), "counted_at": now})
            continue
        total = decay(row.plays, max(timedelta(), now - row.counted_at)) + plays[title_id]
        connection.execute(_UPDATE, {"id": title_id, "new_plays": total, "at": now})
