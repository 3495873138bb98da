"""`JobStore` in SQL: SQLite, MariaDB.

A claim is the owner and the end of the lease in a job's row. To claim a job is to change its row only if these two
are still as read, so that one of several workers gets it. `active_key` is unique, and null once a job has ended: of
several orders of the same film, one is queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self

import msgspec
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
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.encoding.api import Job, JobNotFound, JobState
from matinee.encoding.model.progress import requeue, stop_steps
from matinee.encoding.ports import ClaimStatus
from matinee.events.api import FactRecord
from matinee.kit.clock import from_ms
from matinee.kit.ids import JobId
from matinee.kit.page import Page

_MEDIUM = (1 << 24) - 1
_metadata = MetaData()
_jobs = Table(
    "encoding_jobs",
    _metadata,
    Column("job_id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("film_key", String(64), nullable=False),
    Column("active_key", String(64), unique=True),
    Column("priority", Integer, nullable=False),
    Column("available_at", UtcTime, nullable=False),
    Column("owner", String(80), nullable=False),
    Column("lease_until", UtcTime, nullable=False),
    Column("cancel_asked", Boolean, nullable=False),
    Column("body", JsonBytes(Job, _MEDIUM), nullable=False),
)
_outbox = define_outbox_table(_metadata, "encoding")

_c = _jobs.c
_columns = select(_c.job_id, _c.state, _c.film_key, _c.owner, _c.lease_until, _c.cancel_asked, _c.body)
_get = _columns.where(_c.job_id == bindparam("id"))
_get_active = select(_c.body).where(_c.active_key == bindparam("key"))
_now = bindparam("now", type_=UtcTime)
_find_free = (
    _columns.where(
        or_(
            and_(_c.state == "queued", _c.available_at <= _now),
            and_(_c.state == "running", _c.lease_until <= _now),
        )
    )
    .order_by(_c.priority.desc(), _c.job_id)
    .limit(8)
)
_change = update(_jobs).where(_c.job_id == bindparam("id"))
_change_if_unchanged = _change.where(
    _c.owner == bindparam("read_owner"), _c.lease_until == bindparam("read_lease_until", type_=UtcTime)
)
_NO_OWNER: dict[str, Any] = {"owner": "", "lease_until": from_ms(0)}
_ENDED: dict[str, Any] = {"active_key": None, "cancel_asked": False}


class SqlJobStore:
    """Encoding's tables; `outbox` relays its facts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the store and migrate its tables."""
        await database.migrate("matinee.encoding.adapters:migrations", "encoding")
        return cls(database)

    async def add(self, *, job: Job, key: str) -> Job:
        return await self._database.write(partial(_add, job, key), retry_on_conflict=True)

    async def get(self, *, job_id: JobId) -> Job:
        job: Job = (await self._database.read(partial(_read, job_id)))["body"]
        return job

    async def page(self, *, state: JobState | None, cursor: str | None, limit: int) -> Page[Job]:
        return await self._database.read(partial(_page, state, cursor, limit))

    async def claim(self, *, owner: str, now: datetime, lease_until: datetime) -> Job | None:
        return await self._database.write(partial(_claim, owner, now, lease_until))

    async def save(
        self,
        *,
        job: Job,
        owner: str,
        lease_until: datetime | None = None,
        available_at: datetime | None = None,
        facts: Sequence[FactRecord] = (),
    ) -> ClaimStatus:
        def transaction(connection: Connection) -> ClaimStatus:
            status = _save(job, owner, lease_until, available_at, connection)
            if status != "lost":
                self.outbox.put(connection, [msgspec.json.encode(record) for record in facts])
            return status

        status = await self._database.write(transaction)
        if facts:
            self.outbox.notify()
        return status

    async def cancel(self, *, job_id: JobId, now: datetime) -> Job:
        return await self._database.write(partial(_cancel, job_id, now))

    async def retry(self, *, job_id: JobId, now: datetime) -> Job:
        return await self._database.write(partial(_retry, job_id, now), retry_on_conflict=True)


def _add(job: Job, key: str, connection: Connection) -> Job:
    if (active := _read_active(key, connection)) is not None:
        return active
    row = _to_row(job) | _NO_OWNER | {"film_key": key, "active_key": key, "available_at": job.created_at}
    connection.execute(insert(_jobs), row | {"cancel_asked": False})
    return job


def _to_row(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "state": job.state, "priority": job.order.priority, "body": job}


def _read_active(key: str, connection: Connection) -> Job | None:
    job: Job | None = connection.execute(_get_active, {"key": key}).scalar()
    return job


def _read(job_id: JobId, connection: Connection) -> RowMapping:
    row = connection.execute(_get, {"id": job_id}).mappings().first()
    if row is None:
        raise JobNotFound(job_id=job_id)
    return row


def _page(state: JobState | None, cursor: str | None, limit: int, connection: Connection) -> Page[Job]:
    query = select(_c.body).order_by(_c.job_id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(_c.state == state)
    if cursor is not None:
        query = query.where(_c.job_id < cursor)
    jobs: list[Job] = list(connection.execute(query).scalars())
    return Page(items=jobs[:limit], next_cursor=jobs[limit - 1].job_id if len(jobs) > limit else None)


def _claim(owner: str, now: datetime, lease_until: datetime, connection: Connection) -> Job | None:
    # Repeated, because other workers may claim all jobs of one page while more are free.
    while rows := connection.execute(_find_free, {"now": now}).mappings().all():
        for row in rows:
            if row["cancel_asked"]:
                _end_cancelled(row, now, connection)
            elif (job := _claim_row(row, owner, now, lease_until, connection)) is not None:
                return job
    return None


def _claim_row(row: RowMapping, owner: str, now: datetime, lease_until: datetime, connection: Connection) -> Job | None:
    job: Job = row["body"]
    job = msgspec.structs.replace(job, state="running", attempts=job.attempts + 1, updated_at=now)
    values = _to_row(job) | {"owner": owner, "lease_until": lease_until}
    return job if _change_row(row, values, connection) else None


def _change_row(row: RowMapping, values: dict[str, Any], connection: Connection) -> bool:
    """Change a row unless its claim has changed since it was read."""
    read = {"id": row["job_id"], "read_owner": row["owner"], "read_lease_until": row["lease_until"]}
    return connection.execute(_change_if_unchanged, read | values).rowcount == 1


def _save(
    job: Job, owner: str, lease_until: datetime | None, available_at: datetime | None, connection: Connection
) -> ClaimStatus:
    row = _read(job.job_id, connection)
    if row["owner"] != owner or row["state"] != "running":
        return "lost"
    values = _to_row(job)
    if job.state == "running":
        values |= {"owner": owner, "lease_until": lease_until or _NO_OWNER["lease_until"]}
    else:
        values |= _NO_OWNER | {"available_at": available_at or job.updated_at}
    if job.state not in ("running", "queued"):
        values |= _ENDED
    if not _change_row(row, values, connection):
        return "lost"
    return "cancelled" if row["cancel_asked"] else "active"


def _cancel(job_id: JobId, now: datetime, connection: Connection) -> Job:
    row = _read(job_id, connection)
    if row["state"] == "queued" or (row["state"] == "running" and row["lease_until"] <= now):
        return _end_cancelled(row, now, connection)
    if row["state"] == "running":
        connection.execute(_change, {"id": job_id, "cancel_asked": True})
    job: Job = row["body"]
    return job


def _end_cancelled(row: RowMapping, now: datetime, connection: Connection) -> Job:
    """End a free job; where a worker has just claimed it, request its cancellation."""
    job: Job = row["body"]
    ended = msgspec.structs.replace(stop_steps(job, now, failed=False), state="cancelled", updated_at=now)
    if _change_row(row, _to_row(ended) | _NO_OWNER | _ENDED, connection):
        return ended
    connection.execute(_change, {"id": job.job_id, "cancel_asked": True})
    return job


def _retry(job_id: JobId, now: datetime, connection: Connection) -> Job:
    row = _read(job_id, connection)
    job: Job = row["body"]
    if row["state"] not in ("failed", "cancelled"):
        return job
    if (active := _read_active(row["film_key"], connection)) is not None:
        return active
    job = requeue(job, now)
    _change_row(
        row, _to_row(job) | {"active_key": row["film_key"], "available_at": now, "cancel_asked": False}, connection
    )
    return job
