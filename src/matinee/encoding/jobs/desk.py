"""The job as its worker sees it at this moment: what the steps tell, ready to be saved."""

from __future__ import annotations

import msgspec

from matinee.encoding.api import Job
from matinee.encoding.model.progress import remaining_ms, share_done, with_step
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()
MOST_WARNINGS = 20


class Desk:
    """Hears the steps of one job (a `Teller`) and keeps its state."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self._clock = clock
        self._began_at = clock.now()
        self._share_at_start = share_done(job.steps)
        self.job = job

    def began(self, step: str, total: int = 0) -> None:
        self.job = with_step(self.job, step, self._clock.now(), state="running", done=0, total=total)

    def went(self, step: str, done: int) -> None:
        self.job = with_step(self.job, step, self._clock.now(), done=done)

    def ended(self, step: str, *, kept: bool) -> None:
        now = self._clock.now()
        total = next((one.total for one in self.job.steps if one.name == step), 0)
        self.job = with_step(self.job, step, now, state="done", done=total)
        if kept:
            self._share_at_start, self._began_at = share_done(self.job.steps), now
        else:  # it went forward: what stopped it before does not count against it any more
            self.job = msgspec.structs.replace(self.job, attempts=1)
        _log.info("encode.step", job_id=self.job.job_id, step=step, kept=kept)

    def warned(self, warning: str) -> None:
        if warning not in self.job.warnings and len(self.job.warnings) < MOST_WARNINGS:
            self.job = msgspec.structs.replace(self.job, warnings=[*self.job.warnings, warning])

    def estimated(self) -> Job:
        """The job with the time that it will still take."""
        now = self._clock.now()
        elapsed_ms = round((now - self._began_at).total_seconds() * 1000)
        left_ms = remaining_ms(self._share_at_start, share_done(self.job.steps), elapsed_ms)
        self.job = msgspec.structs.replace(self.job, remaining_ms=left_ms, updated_at=now)
        return self.job
