"""The fleet in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self

from msgspec.structs import asdict
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.ids import EdgeId
from matinee.steering.api import EdgeReport
from matinee.steering.model import FleetMember

_metadata = MetaData()
_edges = Table(
    "steering_edge",
    _metadata,
    Column("edge_id", String(64), primary_key=True),
    Column("report", JsonBytes(EdgeReport), nullable=False),
    Column("last_seen_at", UtcTime, nullable=False, index=True),
    Column("draining", Boolean, nullable=False),
)
_SELECT_KNOWN = select(_edges.c.edge_id).where(_edges.c.edge_id.in_(bindparam("ids", expanding=True)))
_INSERT = insert(_edges)
_UPDATE = (
    update(_edges)
    .where(
        _edges.c.edge_id == bindparam("id"),
        or_(_edges.c.last_seen_at <= bindparam("at"), _edges.c.last_seen_at > bindparam("latest")),
    )
    .values(report=bindparam("new_report"), last_seen_at=bindparam("at"))
)
_SELECT_SINCE = select(_edges.c.report, _edges.c.last_seen_at, _edges.c.draining).where(
    _edges.c.last_seen_at >= bindparam("since")
)
_SET_DRAINING = update(_edges).where(_edges.c.edge_id == bindparam("id")).values(draining=bindparam("draining"))
_DELETE_INACTIVE = delete(_edges).where(_edges.c.last_seen_at < bindparam("before"))


class SqlFleetStore:
    """A `FleetStore` in SQL: a row for each edge with its last report, its time, and whether it is draining."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_shared = not database.url.startswith("sqlite:")

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the table of a database and return the store in it."""
        await database.migrate("matinee.steering.adapters:migrations", "steering")
        return cls(database)

    async def save(self, members: list[FleetMember]) -> None:
        if members:
            await self._database.write(partial(_save, members), retry_on_conflict=True)

    async def load(self, since: datetime) -> list[FleetMember]:
        rows = await self._database.read_autocommit(lambda c: c.execute(_SELECT_SINCE, {"since": since}).all())
        return [
            FleetMember(report=report, last_seen_at=last_seen_at, draining=draining)
            for report, last_seen_at, draining in rows
        ]

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        return await self._database.write(partial(_set_draining, edge_id, draining))

    async def delete_inactive(self, before: datetime) -> None:
        await self._database.write(lambda c: c.execute(_DELETE_INACTIVE, {"before": before}).rowcount)


def _save(members: Sequence[FleetMember], connection: Connection) -> None:
    # Sorted, so that concurrent writers lock the rows in one order and do not deadlock.
    members = sorted(members, key=lambda member: member.report.edge_id)
    ids = [member.report.edge_id for member in members]
    known = set(connection.execute(_SELECT_KNOWN, {"ids": ids}).scalars())
    if existing := [m for m in members if m.report.edge_id in known]:
        connection.execute(_UPDATE, [_to_update(m) for m in existing])
    if new := [m for m in members if m.report.edge_id not in known]:
        connection.execute(_INSERT, [_to_row(m) for m in new])


def _to_update(member: FleetMember) -> dict[str, Any]:
    at = member.last_seen_at
    return {"id": member.report.edge_id, "at": at, "latest": at + CLOCK_SKEW, "new_report": member.report}


def _to_row(member: FleetMember) -> dict[str, Any]:
    return {"edge_id": member.report.edge_id, **asdict(member)}


def _set_draining(edge_id: EdgeId, draining: bool, connection: Connection) -> bool:
    # On some engines the row count of an update excludes unchanged rows, so the row is queried.
    connection.execute(_SET_DRAINING, {"id": edge_id, "draining": draining})
    return connection.execute(_SELECT_KNOWN, {"ids": [edge_id]}).first() is not None
