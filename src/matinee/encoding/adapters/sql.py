"""Jobs in SQL: SQLite, MariaDB.

A job is held by the owner and until the time in its row. Whoever claims it changes that row only as it was read, so
that of two who saw it free one gets it. `active_key` is unique and empty once a job has ended: of two orders of the
same film, one queues a job.
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

from matinee.drivers.outbox import Outbox, define_outbox_table
from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.encoding.api import Job, JobNotFound, JobState
from matinee.encoding.model.progress import halted, requeued
from matinee.encoding.ports import Standing
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

_columns = (_jobs.c.job_id, _jobs.c.state, _jobs.c.film_key, _jobs.c.owner, _jobs.c.lease_until, _jobs.c.cancel_asked)
_one = select(*_columns, _jobs.c.body).where(_jobs.c.job_id == bindparam("id"))
_of_key = select(_jobs.c.body).where(_jobs.c.active_key == bindparam("key"))
_free = (
    select(*_columns, _jobs.c.body)
    .where(
        or_(
            and_(_jobs.c.state == "queued", _jobs.c.available_at <= bindparam("now", type_=UtcTime)),
            and_(_jobs.c.state == "running", _jobs.c.lease_until <= bindparam("now", type_=UtcTime)),
        )
    )
    .order_by(_jobs.c.priority.desc(), _jobs.c.job_id)
    .limit(8)
)
_change = update(_jobs).where(_jobs.c.job_id == bindparam("id"))
_change_held = _change.where(
    _jobs.c.owner == bindparam("held_by"), _jobs.c.lease_until == bindparam("held_until", type_=UtcTime)
)
_NOBODY, _NEVER = "", from_ms(0)


class SqlJobStore:
    """Encoding's tables; `outbox` relays its facts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = Outbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The store, its schema brought up to date."""
        await database.migrate("matinee.encoding.adapters:migrations", "encoding")
        return cls(database)

    async def add(self, *, job: Job, key: str) -> Job:
        return await self._database.write(partial(_add, job, key), retry_on_conflict=True)

    async def get(self, *, job_id: JobId) -> Job:
        job: Job = (await self._database.read(partial(_found, job_id)))["body"]
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
    ) -> Standing:
        def transaction(connection: Connection) -> Standing:
            standing = _save(job, owner, lease_until, available_at, connection)
            if standing != "lost":
                self.outbox.put(connection, [msgspec.json.encode(record) for record in facts])
            return standing

        standing = await self._database.write(transaction)
        if facts:
            self.outbox.notify()
        return standing

    async def cancel(self, *, job_id: JobId, now: datetime) -> Job:
        return await self._database.write(partial(_cancel, job_id, now))

    async def retry(self, *, job_id: JobId, now: datetime) -> Job:
        return await self._database.write(partial(_retry, job_id, now), retry_on_conflict=True)


def _add(job: Job, key: str, connection: Connection) -> Job:
    if (standing := _under_way(key, connection)) is not None:
        return standing
    row = _row(job) | {"film_key": key, "active_key": key, "available_at": job.created_at}
    connection.execute(insert(_jobs), row | {"owner": _NOBODY, "lease_until": _NEVER, "cancel_asked": False})
    return job


def _row(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "state": job.state, "priority": job.order.priority, "body": job}


def _under_way(key: str, connection: Connection) -> Job | None:
    job: Job | None = connection.execute(_of_key, {"key": key}).scalar()
    return job


def _found(job_id: JobId, connection: Connection) -> RowMapping:
    row = connection.execute(_one, {"id": job_id}).mappings().first()
    if row is None:
        raise JobNotFound(job_id=job_id)
    return row


def _page(state: JobState | None, cursor: str | None, limit: int, connection: Connection) -> Page[Job]:
    query = select(_jobs.c.body).order_by(_jobs.c.job_id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(_jobs.c.state == state)
    if cursor is not None:
        query = query.where(_jobs.c.job_id < cursor)
    jobs: list[Job] = list(connection.execute(query).scalars())
    return Page(items=jobs[:limit], next_cursor=jobs[limit - 1].job_id if len(jobs) > limit else None)


def _claim(owner: str, now: datetime, lease_until: datetime, connection: Connection) -> Job | None:
    # Again and again, because others may take all of those that we see, and leave some that we did not.
    while free := connection.execute(_free, {"now": now}).mappings().all():
        for row in free:
            job: Job = row["body"]
            if row["cancel_asked"]:
                _end_cancelled(job, now, row, connection)
            elif taken := _taken(row, owner, now, lease_until, connection):
                return taken
    return None


def _taken(row: RowMapping, owner: str, now: datetime, lease_until: datetime, connection: Connection) -> Job | None:
    """The job, if it was still free and is ours now."""
    job: Job = row["body"]
    job = msgspec.structs.replace(job, state="running", attempts=job.attempts + 1, updated_at=now)
    values = _held(row) | _row(job) | {"owner": owner, "lease_until": lease_until}
    return job if connection.execute(_change_held, values).rowcount == 1 else None


def _held(row: RowMapping) -> dict[str, Any]:
    """The row as it was read: what must still stand for a change to be made."""
    return {"id": row["job_id"], "held_by": row["owner"], "held_until": row["lease_until"]}


def _save(
    job: Job, owner: str, lease_until: datetime | None, available_at: datetime | None, connection: Connection
) -> Standing:
    row = _found(job.job_id, connection)
    if row["owner"] != owner or row["state"] != "running":
        return "lost"
    goes_on = job.state == "running"
    values = _row(job) | {"owner": owner if goes_on else _NOBODY, "lease_until": lease_until or _NEVER}
    if not goes_on:
        values |= {"lease_until": _NEVER, "available_at": available_at or job.updated_at}
    if job.state not in ("running", "queued"):
        values |= {"active_key": None, "cancel_asked": False}
    if connection.execute(_change_held, _held(row) | values).rowcount != 1:
        return "lost"
    return "cancel" if row["cancel_asked"] else "ours"


def _cancel(job_id: JobId, now: datetime, connection: Connection) -> Job:
    row = _found(job_id, connection)
    job: Job = row["body"]
    if row["state"] == "queued" or (row["state"] == "running" and row["lease_until"] <= now):
        return _end_cancelled(job, now, row, connection)
    if row["state"] == "running":
        connection.execute(_change, {"id": job_id, "cancel_asked": True})
    return job


def _end_cancelled(job: Job, now: datetime, row: RowMapping, connection: Connection) -> Job:
    """End a job that nobody works on; where somebody has taken it just now, they are asked to."""
    ended = msgspec.structs.replace(halted(job, now, failed=False), state="cancelled", updated_at=now)
    values = _row(ended) | {"active_key": None, "cancel_asked": False, "owner": _NOBODY, "lease_until": _NEVER}
    if connection.execute(_change_held, _held(row) | values).rowcount == 1:
        return ended
    connection.execute(_change, {"id": job.job_id, "cancel_asked": True})
    return job


def _retry(job_id: JobId, now: datetime, connection: Connection) -> Job:
    row = _found(job_id, connection)
    job: Job = row["body"]
    if row["state"] not in ("failed", "cancelled"):
        return job
    if (standing := _under_way(row["film_key"], connection)) is not None:
        return standing
    job = requeued(job, now)
    values = _row(job) | {"active_key": row["film_key"], "available_at": now, "cancel_asked": False}
    connection.execute(_change_held, _held(row) | values)
    return job
