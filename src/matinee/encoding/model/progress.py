"""The progress of a job's steps, and the time it still needs."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matinee.encoding.api import Job, Step, StepState

# The steps of a job in their order, and the share of its time that each usually takes.
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


def create_steps() -> list[Step]:
    """Create the steps of a new job."""
    return [Step(name=name) for name in SHARES]


def update_step(
    job: Job,
    name: str,
    now: datetime,
    *,
    state: StepState | None = None,
    done: int | None = None,
    total: int | None = None,
) -> Job:
    """Return the job with one step changed."""
    steps = [_update(step, now, state, done, total) if step.name == name else step for step in job.steps]
    return msgspec.structs.replace(job, steps=steps, updated_at=now)


def _update(step: Step, now: datetime, state: StepState | None, done: int | None, total: int | None) -> Step:
    state = state or step.state
    started_at = step.started_at if state != "running" or step.state == "running" else now
    return Step(
        name=step.name,
        state=state,
        done=step.done if done is None else done,
        total=step.total if total is None else total,
        started_at=None if state == "waiting" else started_at or now,
        ended_at=now if state in ("done", "failed") else None,
    )


def stop_steps(job: Job, now: datetime, *, failed: bool) -> Job:
    """Return the job with its running steps failed, or waiting again."""
    for step in job.steps:
        if step.state == "running":
            job = update_step(job, step.name, now, state="failed" if failed else "waiting")
    return job


def compute_share_done(steps: list[Step]) -> float:
    """Compute the share of the work that is done, from 0 to 1."""
    done = sum(SHARES.get(step.name, 1) * _compute_part(step) for step in steps)
    return done / (sum(SHARES.get(step.name, 1) for step in steps) or 1)


def _compute_part(step: Step) -> float:
    if step.state == "done":
        return 1.0
    return min(1.0, step.done / step.total) if step.state == "running" and step.total else 0.0


def estimate_remaining_ms(share_at_start: float, share_now: float, elapsed_ms: int) -> int | None:
    """Estimate the time left at the pace since the start; None while too little is done."""
    gained = share_now - share_at_start
    return round(elapsed_ms * (1 - share_now) / gained) if gained > 0.02 and elapsed_ms > 1000 else None


def reset_steps(job: Job, now: datetime) -> Job:
    """Return a job for another start; its finished steps stay."""
    steps = [step if step.state == "done" else Step(name=step.name) for step in job.steps]
    return msgspec.structs.replace(job, remaining_ms=None, steps=steps, updated_at=now)
