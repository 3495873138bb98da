"""`SourceStore` in SQL: SQLite, MariaDB."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Column, Connection, MetaData, String, Table, bindparam, delete, insert, select

from matinee.drivers.sql import Database, JsonBytes
from matinee.encoding.ports import IngestedSource

_sources = Table(
    "encoding_sources",
    MetaData(),
    Column("fingerprint", String(64), primary_key=True),
    Column("body", JsonBytes(IngestedSource), nullable=False),
)
_find = select(_sources.c.body).where(_sources.c.fingerprint == bindparam("this"))
_delete = delete(_sources).where(_sources.c.fingerprint == bindparam("this"))


class SqlSourceStore:
    """One row for each content. `SqlJobStore.open` migrates the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, *, fingerprint: str) -> IngestedSource | None:
        return await self._database.read(lambda c: c.execute(_find, {"this": fingerprint}).scalar())

    async def save(self, *, fingerprint: str, source: IngestedSource) -> None:
        await self._database.write(partial(_save, fingerprint, source), retry_on_conflict=True)


def _save(fingerprint: str, source: IngestedSource, connection: Connection) -> None:
    connection.execute(_delete, {"this": fingerprint})
    connection.execute(insert(_sources), {"fingerprint": fingerprint, "body": source})
