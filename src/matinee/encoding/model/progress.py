"""How a job's steps stand, and how long it will still take."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from matinee.encoding.api import Job, Step, StepState

# The steps of a job in their order, and what part of its time each usually takes.
SHARES = {
    "inspect": 1,
    "store": 2,
    "analyse": 7,
    "encode": 76,
    "audio": 6,
    "subtitles": 1,
    "pictures": 3,
    "package": 2,
    "publish": 2,
}
MOST_ATTEMPTS = 5


def fresh_steps() -> list[Step]:
    """The steps of a new job."""
    return [Step(name=name) for name in SHARES]


def with_step(
    job: Job,
    name: str,
    now: datetime,
    *,
    state: StepState | None = None,
    done: int | None = None,
    total: int | None = None,
) -> Job:
    """The job with one step changed."""
    steps = [_changed(step, now, state, done, total) if step.name == name else step for step in job.steps]
    return msgspec.structs.replace(job, steps=steps, updated_at=now)


def _changed(step: Step, now: datetime, state: StepState | None, done: int | None, total: int | None) -> Step:
    state = state or step.state
    began = step.started_at if state != "running" or step.state == "running" else now
    return Step(
        name=step.name,
        state=state,
        done=step.done if done is None else done,
        total=step.total if total is None else total,
        started_at=None if state == "waiting" else began or now,
        ended_at=now if state in ("done", "failed") else None,
    )


def halted(job: Job, now: datetime, *, failed: bool) -> Job:
    """The job with its running steps stopped."""
    for step in job.steps:
        if step.state == "running":
            job = with_step(job, step.name, now, state="failed" if failed else "waiting")
    return job


def share_done(steps: list[Step]) -> float:
    """How much of the work is done, from 0 to 1."""
    done = sum(SHARES.get(step.name, 1) * _part(step) for step in steps)
    return done / (sum(SHARES.get(step.name, 1) for step in steps) or 1)


def _part(step: Step) -> float:
    if step.state == "done":
        return 1.0
    return min(1.0, step.done / step.total) if step.state == "running" and step.total else 0.0


def remaining_ms(share_at_start: float, share_now: float, elapsed_ms: int) -> int | None:
    """The time left, at the pace since the start; None while there is too little to judge by."""
    gained = share_now - share_at_start
    return round(elapsed_ms * (1 - share_now) / gained) if gained > 0.02 and elapsed_ms > 1000 else None


def back_off(attempts: int) -> timedelta:
    """How long a job that failed in passing waits: 5 s, then four times as long each time."""
    return timedelta(seconds=5 * 4 ** max(0, attempts - 1))


def requeued(job: Job, now: datetime) -> Job:
    """An ended job that is to be tried again, as if for the first time; its finished steps stay."""
    steps = [step if step.state == "done" else Step(name=step.name) for step in job.steps]
    return msgspec.structs.replace(
        job, state="queued", attempts=0, reason="", remaining_ms=None, steps=steps, updated_at=now
    )
