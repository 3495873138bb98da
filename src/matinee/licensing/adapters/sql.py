"""The key vault in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from matinee.drivers.sql import Database, UtcTime
from matinee.kit.ids import AssetId, PlaySessionId
from matinee.licensing.model import SealedKey
from matinee.licensing.ports import SessionKeys

_metadata = MetaData()
_keys = Table(
    "licensing_key",
    _metadata,
    Column("asset_id", String(40), primary_key=True),
    Column("label", String(8), primary_key=True),
    Column("key_id", String(32), unique=True),
    Column("sealed", LargeBinary),
)
_revocations = Table(
    "licensing_revocation",
    _metadata,
    Column("session_id", String(40), primary_key=True),
    Column("expires_at", UtcTime, index=True),
)
_k, _r = _keys.c, _revocations.c
_OF_ASSET = select(_k.asset_id, _k.label, _k.key_id, _k.sealed).where(_k.asset_id == bindparam("id")).order_by(_k.label)
_REVOKED = select(_r.expires_at).where(_r.session_id == bindparam("id"))
_KNOWN = select(_k.key_id).where(_k.key_id.in_(bindparam("ids", expanding=True)))


class SqlKeyVault:
    """A `KeyVault` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of a database and return the vault in it."""
        await database.migrate("matinee.licensing.adapters:migrations", "licensing")
        return cls(database)

    async def add_keys(self, *, keys: list[SealedKey]) -> None:
        def add(connection: Connection) -> None:
            for key in keys:
                existing = select(_k.key_id).where(_k.asset_id == key.asset_id, _k.label == key.label)
                if connection.execute(existing).one_or_none() is None:
                    connection.execute(insert(_keys), msgspec.structs.asdict(key))

        await self._database.write(add, retry_on_conflict=True)

    async def list_keys(self, *, asset_id: AssetId) -> list[SealedKey]:
        return await self._database.read(lambda c: _select_keys(c, asset_id))

    async def find_session_keys(self, *, asset_id: AssetId, session_id: PlaySessionId) -> SessionKeys:
        def find(connection: Connection) -> SessionKeys:
            revoked = connection.execute(_REVOKED, {"id": session_id}).one_or_none() is not None
            return SessionKeys(keys=[] if revoked else _select_keys(connection, asset_id), revoked=revoked)

        return await self._database.read_autocommit(find)

    async def filter_known(self, *, key_ids: list[str]) -> set[str]:
        return await self._database.read(lambda c: set(c.execute(_KNOWN, {"ids": key_ids}).scalars()))

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        def add(connection: Connection) -> None:
            stored = connection.execute(_REVOKED, {"id": session_id}).scalar_one_or_none()
            row = {"session_id": session_id, "expires_at": expires_at}
            if stored is None:
                connection.execute(insert(_revocations), row)
            elif stored < expires_at:
                connection.execute(update(_revocations).where(_r.session_id == session_id).values(row))

        await self._database.write(add, retry_on_conflict=True)

    async def delete_revocations(self, *, before: datetime) -> int:
        expired = delete(_revocations).where(_r.expires_at < before)
        return await self._database.write(lambda c: c.execute(expired).rowcount)


def _select_keys(connection: Connection, asset_id: AssetId) -> list[SealedKey]:
    rows = connection.execute(_OF_ASSET, {"id": asset_id})
    return [SealedKey(asset_id=row[0], label=row[1], key_id=row[2], sealed=row[3]) for row in rows]
