"""Schedules in SQL. The lease of a run is a column, which instances set by a conditional update."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Self

from msgspec.structs import asdict
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    case,
    delete,
    insert,
    literal,
    or_,
    select,
    update,
)

from matinee.drivers.sql import Database, UtcTime
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.ids import InstanceId
from matinee.mesh.schedules.ports import Order, Run, Schedule, ScheduleNotFound

KEPT_RUNS: Final = 100
ABANDONED: Final = "abandoned: the instance ended during the run"
_MAX_ERROR: Final = 500

_metadata = MetaData()
_schedules = Table(
    "mesh_schedules",
    _metadata,
    Column("schedule", String(100), primary_key=True),
    Column("expression", String(100), nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("requested", Boolean, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("lease_until", UtcTime),
)
_runs = Table(
    "mesh_schedule_runs",
    _metadata,
    Column("schedule", String(100), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", String(40), nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("error", String(_MAX_ERROR), nullable=False),
)
_s, _r = _schedules.c, _runs.c
_LIST = (
    select(_schedules, _runs)
    .select_from(_schedules.outerjoin(_runs, and_(_r.schedule == _s.schedule, _r.number == _s.runs)))
    .order_by(_s.schedule)
)


class SqlScheduleStore:
    """Implements `ScheduleStore` in a database that all processes open."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the schedules in a database and migrate its schema."""
        await database.migrate("matinee.mesh.schedules.adapters:migrations", "schedules")
        return cls(database)

    async def declare(self, *, schedule: str, expression: str, next_at: datetime) -> None:
        def insert_or_update(connection: Connection) -> None:
            known = connection.execute(select(_s.expression, _s.next_at).where(_s.schedule == schedule)).first()
            if known is None:
                values = {"schedule": schedule, "expression": expression, "next_at": next_at}
                connection.execute(insert(_schedules).values(**values, paused=False, requested=False, runs=0))
            elif known.expression != expression or known.next_at > next_at:
                change = update(_schedules).where(_s.schedule == schedule)
                connection.execute(change.values(expression=expression, next_at=next_at))

        await self._database.write(insert_or_update, retry_on_conflict=True)

    async def claim(self, *, schedule: str, instance_id: InstanceId, lease_s: float, now: datetime) -> Run | None:
        is_due = or_(_s.requested, and_(_s.paused.is_(False), _s.next_at <= now))
        is_free = or_(_s.lease_until.is_(None), _s.lease_until <= now)
        take = (
            update(_schedules)
            .where(_s.schedule == schedule, is_due, is_free)
            .values(
                lease_until=now + timedelta(seconds=lease_s),
                runs=_s.runs + 1,
                requested=False,
                next_at=case(
                    (_s.next_at < now, _s.next_at), else_=literal(now, UtcTime)
                ),  # due until the run has finished
            )
        )

        lease_until = now + timedelta(seconds=lease_s)
        is_ahead = and_(_s.schedule == schedule, _s.lease_until > lease_until + CLOCK_SKEW)
        shorten = update(_schedules).where(is_ahead).values(lease_until=lease_until)

        def start(connection: Connection) -> Run | None:
            if connection.execute(take).rowcount == 0:
                connection.execute(shorten)
                return None
            is_this = _s.schedule == schedule
            number, due_at = connection.execute(select(_s.runs, _s.next_at).where(is_this)).one()
            unfinished = update(_runs).where(_r.schedule == schedule, _r.ended_at.is_(None))
            connection.execute(unfinished.values(ended_at=now, error=ABANDONED))
            connection.execute(delete(_runs).where(_r.schedule == schedule, _r.number <= number - KEPT_RUNS))
            run = Run(schedule=schedule, number=number, instance_id=instance_id, started_at=now, due_at=due_at)
            connection.execute(insert(_runs).values(**asdict(run)))
            return run

        return await self._database.write(start)

    async def renew(self, *, run: Run, lease_s: float, now: datetime) -> bool:
        change = _update_claimed(run).values(lease_until=now + timedelta(seconds=lease_s))
        return await self._database.write(lambda connection: connection.execute(change).rowcount > 0)

    async def finish(self, *, run: Run, error: str, next_at: datetime, now: datetime) -> None:
        release = _update_claimed(run).values(lease_until=None, next_at=next_at)
        end = update(_runs).where(_r.schedule == run.schedule, _r.number == run.number)

        def finish(connection: Connection) -> None:
            if connection.execute(release).rowcount:
                connection.execute(end.values(ended_at=now, error=error[:_MAX_ERROR]))

        await self._database.write(finish)

    async def list_schedules(self) -> list[Schedule]:
        rows = await self._database.read_autocommit(lambda connection: connection.execute(_LIST).all())
        return [
            Schedule(
                schedule=row[0],
                expression=row[1],
                next_at=row[2],
                is_paused=row[3],
                is_requested=row[4],
                last_run=_to_run(row[7:]) if row[7] is not None else None,
            )
            for row in rows
        ]

    async def list_runs(self, *, schedule: str, limit: int) -> list[Run]:
        latest = select(_runs).where(_r.schedule == schedule).order_by(_r.number.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(latest).all())
        return [_to_run(row) for row in rows]

    async def order(self, *, schedule: str, order: Order) -> None:
        values: dict[str, Any] = {"requested": True} if order == "run" else {"paused": order == "pause"}

        def change(connection: Connection) -> None:
            if connection.execute(select(_s.schedule).where(_s.schedule == schedule)).scalar() is None:
                raise ScheduleNotFound(schedule=schedule)
            connection.execute(update(_schedules).where(_s.schedule == schedule).values(**values))

        await self._database.write(change)


def _update_claimed(run: Run) -> Any:
    """Update a schedule if this run is still its latest and has not finished."""
    return update(_schedules).where(_s.schedule == run.schedule, _s.runs == run.number, _s.lease_until.is_not(None))


def _to_run(row: Sequence[Any]) -> Run:
    return Run(**dict(zip(_r.keys(), row, strict=True)))
