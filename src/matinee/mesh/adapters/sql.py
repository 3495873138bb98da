"""A registry in SQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Delete,
    MetaData,
    String,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from matinee.drivers.engine import StoreFull
from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.kit.ids import InstanceId
from matinee.kit.ticks import sleep_until_tick
from matinee.mesh.adapters.lease_times import LeaseTimes
from matinee.mesh.api import Instance

_instances = Table(
    "mesh_instances",
    MetaData(),
    Column("instance_id", String(40), primary_key=True),
    Column("expires_at", UtcTime, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("instance", JsonBytes(Instance), nullable=False),
)
_t = _instances.c
_is_this = _t.instance_id == bindparam("this")

_INSERT = insert(_instances)
# Expired entries are deleted too, so that the table does not grow by every killed process.
_REPLACE = delete(_instances).where(_is_this | (_t.expires_at <= bindparam("now")))
_RENEW = update(_instances).where(_is_this, _t.expires_at > bindparam("now")).values(expires_at=bindparam("until"))
_DRAIN = update(_instances).where(_is_this).values(draining=True)
_LEAVE = delete(_instances).where(_is_this)
_LIVE = select(_instances).where(_t.expires_at > bindparam("now")).order_by(_t.instance_id)


class SqlRegistry:
    """Implements `Registry` in a database that all processes open."""

    uses_engine_clock: ClassVar[bool] = False
    registers_itself: ClassVar[bool] = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self._full_since: datetime | None = None
        self._leases = LeaseTimes()

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the registry in a database and migrate its schema."""
        await database.migrate("matinee.mesh.adapters:migrations", "mesh")
        return cls(database)

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        row = {
            "instance_id": instance.instance_id,
            "expires_at": now + timedelta(seconds=lease_s),
            "draining": instance.draining,
            "instance": instance,
        }

        def replace(connection: Connection) -> None:
            connection.execute(_REPLACE, {"this": instance.instance_id, "now": now})
            connection.execute(_INSERT, row)

        await self._database.write(replace)

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        # On a full disk no instance can renew, so leases are frozen as they were when it became full.
        values = {"this": instance_id, "now": self._full_since or now, "until": now + timedelta(seconds=lease_s)}
        try:
            is_registered = await self._change(_RENEW, values) > 0
        except StoreFull:
            self._full_since = self._full_since or now
            return True
        self._full_since = None
        return is_registered

    async def drain(self, *, instance_id: InstanceId) -> None:
        await self._change(_DRAIN, {"this": instance_id})

    async def deregister(self, *, instance_id: InstanceId) -> None:
        await self._change(_LEAVE, {"this": instance_id})

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        now = self._full_since or now
        rows = await self._database.read(lambda c: c.execute(_LIVE, {"now": now}).all())
        live = self._leases.select_live({row.instance_id: row.expires_at for row in rows}, now)
        return tuple(
            msgspec.structs.replace(row.instance, draining=row.draining) for row in rows if row.instance_id in live
        )

    async def wait_for_change(self, *, poll_s: float) -> None:
        await sleep_until_tick(poll_s)

    async def _change(self, statement: Update | Delete, values: dict[str, Any]) -> int:
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount)
