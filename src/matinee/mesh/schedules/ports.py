"""What scheduled work needs from outside."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem

Order: TypeAlias = Literal["pause", "resume", "run"]


class ScheduleNotFound(Problem, status=404):
    """There is no such schedule."""

    schedule: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a schedule. `error` is empty after a success; `ended_at` is None while it runs."""

    schedule: str
    number: int
    instance_id: InstanceId
    started_at: datetime
    due_at: datetime
    ended_at: datetime | None = None
    error: str = ""

    @property
    def duration_ms(self) -> int | None:
        """The duration; None while it runs."""
        return None if self.ended_at is None else round((self.ended_at - self.started_at).total_seconds() * 1000)


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with its next run and its last one. `is_requested`: `order` requested a run that has not started."""

    schedule: str
    expression: str
    next_at: datetime
    is_paused: bool = False
    is_requested: bool = False
    last_run: Run | None = None


class ScheduleStore(Protocol):
    """The schedules of a deployment, shared by all instances."""

    async def declare(self, *, schedule: str, expression: str, next_at: datetime) -> None:
        """Add a schedule; a known one keeps its state, and its next run.

        The next run is replaced where the expression has changed, or the stored one is later: a clock was ahead.
        """

    async def claim(self, *, schedule: str, instance_id: InstanceId, lease_s: float, now: datetime) -> Run | None:
        """Start a run if the schedule is due or requested and no other instance holds a valid lease.

        A run whose lease has expired is recorded as abandoned. A lease that ends later than `lease_s` from now, by
        more than clocks differ, is shortened to `lease_s`.
        """

    async def renew(self, *, run: Run, lease_s: float, now: datetime) -> bool:
        """Extend the lease of a run; False when another instance has taken over."""

    async def finish(self, *, run: Run, error: str, next_at: datetime, now: datetime) -> None:
        """End a run and release its lease. No effect when another instance has taken over."""

    async def list_schedules(self) -> list[Schedule]:
        """Return all schedules, sorted by name."""

    async def list_runs(self, *, schedule: str, limit: int) -> list[Run]:
        """Return the latest runs, newest first. The store keeps a bounded number of them."""

    async def order(self, *, schedule: str, order: Order) -> None:
        """Pause or resume a schedule, or request a run, also of a paused one. Raises ScheduleNotFound."""
