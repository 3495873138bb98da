"""`AffinityStore` in SQL: one row for each profile that played a title."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Self

import msgspec
from sqlalchemy import Column, Connection, MetaData, String, Table, bindparam, delete, insert, select, update

from matinee.drivers.sql import Database, UtcTime
from matinee.kit.ids import ProfileId
from matinee.search.model.affinity import Affinity, add_plays, decay

_GATHER_S = 1.0
_metadata = MetaData()
_affinity = Table(
    "search_affinity",
    _metadata,
    Column("profile_id", String(40), primary_key=True),
    Column("genres", String(2000), nullable=False),
    Column("counted_at", UtcTime, nullable=False),
)
_a = _affinity.c
_SELECT = select(_a.profile_id, _a.genres, _a.counted_at)
_SELECT_ONE = _SELECT.where(_a.profile_id == bindparam("id"))
_SELECT_SOME = _SELECT.where(_a.profile_id.in_(bindparam("ids", expanding=True))).with_for_update()
_INSERT = insert(_affinity)
_UPDATE = (
    update(_affinity)
    .where(_a.profile_id == bindparam("id"))
    .values(genres=bindparam("new_genres"), counted_at=bindparam("at"))
)
_DELETE = delete(_affinity).where(_a.profile_id.in_(bindparam("ids", expanding=True)))
_decoder = msgspec.json.Decoder(dict[str, float])


class SqlAffinityStore:
    """The affinities of profiles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of search and return the store in it."""
        await database.migrate("matinee.search.adapters:migrations", "search")
        return cls(database)

    async def add(self, plays: Mapping[ProfileId, Sequence[Sequence[str]]], *, now: datetime) -> None:
        if plays:
            await self._database.write(partial(_add, plays, now), retry_on_conflict=True, gather_s=_GATHER_S)

    async def load(self, profile_id: ProfileId, *, now: datetime) -> Affinity:
        row = await self._database.read(lambda connection: connection.execute(_SELECT_ONE, {"id": profile_id}).first())
        return {} if row is None else decay(_decoder.decode(row.genres), now - row.counted_at)

    async def remove(self, profile_ids: Collection[ProfileId]) -> None:
        if profile_ids:
            ids = sorted(profile_ids)
            await self._database.write(lambda connection: connection.execute(_DELETE, {"ids": ids}), gather_s=_GATHER_S)


def _add(plays: Mapping[ProfileId, Sequence[Sequence[str]]], now: datetime, connection: Connection) -> None:
    # Sorted, so that concurrent writers lock the rows in one order and do not deadlock.
    ids = sorted(plays)
    known = {row.profile_id: row for row in connection.execute(_SELECT_SOME, {"ids": ids})}
    for profile_id in ids:
        row = known.get(profile_id)
        before = {} if row is None else decay(_decoder.decode(row.genres), now - row.counted_at)
        genres = msgspec.json.encode(add_plays(before, plays[profile_id])).decode()
        if row is None:
            connection.execute(_INSERT, {"profile_id": profile_id, "genres": genres, "counted_at": now})
        else:
            connection.execute(_UPDATE, {"id": profile_id, "new_genres": genres, "at": now})
