"""The audit log in SQL."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, insert, or_, select

from matinee.drivers.sql import Database
from matinee.identity.adapters import tables
from matinee.identity.api import AuditEntry
from matinee.kit.ids import AccountId, AuditEntryId

_e = tables.audit.c
_actor, _account = tables.accounts.alias(), tables.accounts.alias()
_LATEST = (
    select(*_e, _actor.c.email.label("actor"), _account.c.email.label("account"))
    .outerjoin(_actor, _actor.c.account_id == _e.actor_id)
    .outerjoin(_account, _account.c.account_id == _e.account_id)
    .order_by(_e.at.desc(), _e.entry_id.desc())
)
_STORED = tuple(column.name for column in _e)


class SqlAuditLog:
    """Implements `AuditLog`, in the database of the accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: AuditEntry) -> None:
        row = {name: getattr(entry, name) for name in _STORED}
        await self._database.write(lambda c: c.execute(insert(tables.audit), row))

    async def list_entries(
        self, *, account_id: AccountId | None, after: tuple[datetime, AuditEntryId] | None, limit: int
    ) -> list[AuditEntry]:
        statement = _LATEST.limit(limit)
        if account_id is not None:
            statement = statement.where(or_(_e.account_id == account_id, _e.actor_id == account_id))
        if after is not None:
            at, entry_id = after
            statement = statement.where(or_(_e.at < at, and_(_e.at == at, _e.entry_id < entry_id)))
        rows = await self._database.read(lambda c: c.execute(statement).mappings().all())
        return [AuditEntry(**row) for row in rows]

    async def delete_before(self, *, before: datetime) -> int:
        return await self._database.write(lambda c: c.execute(delete(tables.audit).where(_e.at < before)).rowcount)
