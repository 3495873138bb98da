"""The fleet in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self

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
    select,
    update,
)

from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.kit.ids import EdgeId
from matinee.steering.api import EdgeReport
from matinee.steering.model import Member

_metadata = MetaData()
_edges = Table(
    "steering_edge",
    _metadata,
    Column("edge_id", String(64), primary_key=True),
    Column("report", JsonBytes(EdgeReport), nullable=False),
    Column("last_seen_at", UtcTime, nullable=False, index=True),
    Column("draining", Boolean, nullable=False),
)
_KNOWN = select(_edges.c.edge_id).where(_edges.c.edge_id.in_(bindparam("ids", expanding=True)))
_NEW = insert(_edges)
_RENEWED = (
    update(_edges)
    .where(_edges.c.edge_id == bindparam("id"), _edges.c.last_seen_at <= bindparam("seen_at"))
    .values(report=bindparam("new_report"), last_seen_at=bindparam("seen_at"))
)
_SINCE = select(_edges.c.report, _edges.c.last_seen_at, _edges.c.draining).where(
    _edges.c.last_seen_at >= bindparam("since")
)
_DRAINED = update(_edges).where(_edges.c.edge_id == bindparam("id")).values(draining=bindparam("drains"))
_FORGOTTEN = delete(_edges).where(_edges.c.last_seen_at < bindparam("before"))


class SqlFleetStore:
    """One row an edge: its newest report, when it came, and whether it drains."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The store, its table brought up to date."""
        await database.migrate("matinee.steering.adapters:migrations", "steering")
        return cls(database)

    async def save(self, members: list[Member]) -> None:
        if members:
            await self._database.write(partial(_save, members), retry_on_conflict=True)

    async def load(self, since: datetime) -> list[Member]:
        rows = await self._database.read(lambda c: c.execute(_SINCE, {"since": since}).all())
        return [Member(report=report, last_seen_at=seen_at, draining=drains) for report, seen_at, drains in rows]

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        return await self._database.write(partial(_drain, edge_id, draining))

    async def forget(self, before: datetime) -> None:
        await self._database.write(lambda c: c.execute(_FORGOTTEN, {"before": before}).rowcount)


def _save(members: Sequence[Member], connection: Connection) -> None:
    # In one order everywhere, so that two who save the same edges do not wait for each other in a ring.
    members = sorted(members, key=lambda member: member.report.edge_id)
    ids = [member.report.edge_id for member in members]
    known = set(connection.execute(_KNOWN, {"ids": ids}).scalars())
    renewed = [m for m in members if m.report.edge_id in known]
    if renewed:
        connection.execute(_RENEWED, [_renewal(m) for m in renewed])
    new = [m for m in members if m.report.edge_id not in known]
    if new:
        connection.execute(_NEW, [_row(m) for m in new])


def _renewal(member: Member) -> dict[str, Any]:
    return {"id": member.report.edge_id, "seen_at": member.last_seen_at, "new_report": member.report}


def _row(member: Member) -> dict[str, Any]:
    return {
        "edge_id": member.report.edge_id,
        "report": member.report,
        "last_seen_at": member.last_seen_at,
        "draining": member.draining,
    }


def _drain(edge_id: EdgeId, draining: bool, connection: Connection) -> bool:
    # An update that changes nothing may count no row on some engines: ask whether there is one.
    connection.execute(_DRAINED, {"id": edge_id, "drains": draining})
    return connection.execute(_KNOWN, {"ids": [edge_id]}).first() is not None
