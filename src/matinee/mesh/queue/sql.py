"""`WorkQueue` in SQL: SQLite, MariaDB.

A claim is the owner and the end of the lease in an item's row. A worker claims an item by an update whose condition is
that both are unchanged since they were read, so that only one of several workers succeeds. `active_key` is unique, and
null once an item has ended: at most one item of a key is unfinished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic

from msgspec.structs import replace
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.drivers.sql_outbox import SqlOutbox
from matinee.kit.clock import CLOCK_SKEW, from_ms
from matinee.kit.page import Page
from matinee.mesh.queue.items import LONGEST_DELAY, ClaimStatus, WorkItem, WorkState
from matinee.mesh.queue.ports import Item

_MEDIUM = (1 << 24) - 1
_PAGE = 8
_NO_OWNER: dict[str, Any] = {"owner": "", "lease_until": from_ms(0)}
_ENDED: dict[str, Any] = {"active_key": None, "cancel_asked": False}


def define_work_table(
    metadata: MetaData, name: str, kind: type[WorkItem], *, id_column: str = "item_id", key_column: str = "item_key"
) -> Table:
    """Define the table of a queue of items of a kind. The domain's migrations create it."""
    return Table(
        name,
        metadata,
        Column(id_column, String(40), key="item_id", primary_key=True),
        Column("state", String(16), nullable=False),
        Column(key_column, String(64), key="item_key", nullable=False),
        Column("active_key", String(64), unique=True),
        Column("priority", Integer, nullable=False),
        Column("available_at", UtcTime, nullable=False),
        Column("owner", String(80), nullable=False),
        Column("lease_until", UtcTime, nullable=False),
        Column("cancel_asked", Boolean, nullable=False),
        Column("body", JsonBytes(kind, _MEDIUM), nullable=False),
    )


class SqlWorkQueue(Generic[Item]):
    """A queue in one table. Facts saved with items go into `outbox`.

    `on_stop` changes the domain's own fields of an item that is cancelled, `on_retry` those of one queued again.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        outbox: SqlOutbox | None = None,
        *,
        on_stop: Callable[[Item, datetime], Item] = lambda item, _: item,
        on_retry: Callable[[Item, datetime], Item] = lambda item, _: item,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._on_stop = on_stop
        self._on_retry = on_retry
        self._statements = _Statements(table)

    async def add(self, *, item: Item, key: str) -> Item:
        return await self._database.write(partial(self._add, item, key), retry_on_conflict=True)

    async def find(self, *, item_id: str) -> Item | None:
        row = await self._database.read(partial(self._read, item_id))
        return None if row is None else row["body"]

    async def list_items(self, *, state: WorkState | None, cursor: str | None, limit: int) -> Page[Item]:
        query = self._statements.build_page(state, cursor, limit)
        items: list[Item] = await self._database.read(lambda connection: list(connection.execute(query).scalars()))
        return Page(items=items[:limit], next_cursor=items[limit - 1].item_id if len(items) > limit else None)

    async def claim(self, *, owner: str, now: datetime, lease_until: datetime) -> Item | None:
        # An idle worker asks often: it takes no write lock.
        times = self._describe_times(now, lease_until)
        free = await self._database.read_autocommit(lambda c: c.execute(self._statements.find_free, times).first())
        return None if free is None else await self._database.write(partial(self._claim, owner, now, lease_until))

    async def save(
        self,
        *,
        item: Item,
        owner: str,
        lease_until: datetime | None = None,
        available_at: datetime | None = None,
        records: Sequence[bytes] = (),
    ) -> ClaimStatus:
        status = await self._database.write(partial(self._save, item, owner, lease_until, available_at, list(records)))
        if records and self._outbox is not None:
            self._outbox.notify()
        return status

    async def cancel(self, *, item_id: str, now: datetime) -> Item | None:
        return await self._database.write(partial(self._cancel, item_id, now))

    async def retry(self, *, item_id: str, now: datetime) -> Item | None:
        return await self._database.write(partial(self._retry, item_id, now), retry_on_conflict=True)

    def _add(self, item: Item, key: str, connection: Connection) -> Item:
        if (active := self._read_active(key, connection)) is not None:
            return active
        row = _to_row(item) | _NO_OWNER | {"item_key": key, "active_key": key, "available_at": item.created_at}
        connection.execute(self._statements.insert, row | {"cancel_asked": False})
        return item

    def _read_active(self, key: str, connection: Connection) -> Item | None:
        item: Item | None = connection.execute(self._statements.find_active, {"key": key}).scalar()
        return item

    def _read(self, item_id: str, connection: Connection) -> RowMapping | None:
        return connection.execute(self._statements.find, {"id": item_id}).mappings().first()

    def _claim(self, owner: str, now: datetime, lease_until: datetime, connection: Connection) -> Item | None:
        # Repeated, because other workers may claim all items of one page while more are free.
        times = self._describe_times(now, lease_until)
        while rows := connection.execute(self._statements.find_free, times).mappings().all():
            for row in rows:
                item: Item = row["body"]
                if row["state"] == "running" and row["lease_until"] > now:
                    self._change(row, {"lease_until": lease_until}, connection)
                    continue
                if row["cancel_asked"]:
                    self._end_cancelled(row, now, connection)
                    continue
                item = replace(item, state="running", attempts=item.attempts + 1, updated_at=now)
                if self._change(row, _to_row(item) | {"owner": owner, "lease_until": lease_until}, connection):
                    return item
        return None

    def _describe_times(self, now: datetime, lease_until: datetime) -> dict[str, datetime]:
        return {"now": now, "longest_delay": now + LONGEST_DELAY, "longest_lease": lease_until + CLOCK_SKEW}

    def _change(self, row: RowMapping, values: dict[str, Any], connection: Connection) -> bool:
        """Change a row unless its claim has changed since it was read."""
        read = {"id": row["item_id"], "read_owner": row["owner"], "read_lease_until": row["lease_until"]}
        return connection.execute(self._statements.change_if_unchanged, read | values).rowcount == 1

    def _save(
        self,
        item: Item,
        owner: str,
        lease_until: datetime | None,
        available_at: datetime | None,
        records: list[bytes],
        connection: Connection,
    ) -> ClaimStatus:
        row = self._read(item.item_id, connection)
        if row is None or row["owner"] != owner or row["state"] != "running":
            return "lost"
        values = _to_row(item)
        if item.state == "running":
            values |= {"owner": owner, "lease_until": lease_until or _NO_OWNER["lease_until"]}
        else:
            values |= _NO_OWNER | {"available_at": available_at or item.updated_at}
        if item.state not in ("running", "queued"):
            values |= _ENDED
        if not self._change(row, values, connection):
            return "lost"
        if self._outbox is not None:
            self._outbox.put(connection, records)
        return "cancelled" if row["cancel_asked"] else "active"

    def _cancel(self, item_id: str, now: datetime, connection: Connection) -> Item | None:
        row = self._read(item_id, connection)
        if row is None:
            return None
        if row["state"] == "queued" or (row["state"] == "running" and row["lease_until"] <= now):
            return self._end_cancelled(row, now, connection)
        if row["state"] == "running":
            connection.execute(self._statements.change, {"id": item_id, "cancel_asked": True})
        item: Item = row["body"]
        return item

    def _end_cancelled(self, row: RowMapping, now: datetime, connection: Connection) -> Item:
        """End a free item; where a worker has just claimed it, request its cancellation."""
        item: Item = row["body"]
        ended = replace(self._on_stop(item, now), state="cancelled", reason="", updated_at=now)
        if self._change(row, _to_row(ended) | _NO_OWNER | _ENDED, connection):
            return ended
        connection.execute(self._statements.change, {"id": row["item_id"], "cancel_asked": True})
        return item

    def _retry(self, item_id: str, now: datetime, connection: Connection) -> Item | None:
        row = self._read(item_id, connection)
        if row is None or row["state"] not in ("failed", "cancelled"):
            return None if row is None else row["body"]
        if (active := self._read_active(row["item_key"], connection)) is not None:
            return active
        item = replace(self._on_retry(row["body"], now), state="queued", attempts=0, reason="", updated_at=now)
        values = {"active_key": row["item_key"], "available_at": now, "cancel_asked": False}
        self._change(row, _to_row(item) | values, connection)
        return item


def _to_row(item: WorkItem) -> dict[str, Any]:
    return {"item_id": item.item_id, "state": item.state, "priority": item.priority, "body": item}


class _Statements:
    """The statements on one table."""

    def __init__(self, table: Table) -> None:
        c = self._c = table.c
        now = bindparam("now", type_=UtcTime)
        rows = select(
            c.item_id.label("item_id"),
            c.item_key.label("item_key"),
            c.state,
            c.owner,
            c.lease_until,
            c.cancel_asked,
            c.body,
        )
        longest_delay = bindparam("longest_delay", type_=UtcTime)
        longest_lease = bindparam("longest_lease", type_=UtcTime)
        waiting, expired = (
            and_(c.state == "queued", or_(c.available_at <= now, c.available_at > longest_delay)),
            and_(c.state == "running", or_(c.lease_until <= now, c.lease_until > longest_lease)),
        )
        self.insert = insert(table)
        self.find = rows.where(c.item_id == bindparam("id"))
        self.find_active = select(c.body).where(c.active_key == bindparam("key"))
        self.find_free = rows.where(or_(waiting, expired)).order_by(c.priority.desc(), c.item_id).limit(_PAGE)
        self.change = update(table).where(c.item_id == bindparam("id"))
        self.change_if_unchanged = self.change.where(
            c.owner == bindparam("read_owner"), c.lease_until == bindparam("read_lease_until", type_=UtcTime)
        )

    def build_page(self, state: WorkState | None, cursor: str | None, limit: int) -> Any:
        query = select(self._c.body).order_by(self._c.item_id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(self._c.state == state)
        if cursor is not None:
            query = query.where(self._c.item_id < cursor)
        return query
