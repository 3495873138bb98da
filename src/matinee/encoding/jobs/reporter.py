"""The progress reporter: keeps a running job's state as its steps report it."""

from __future__ import annotations

import msgspec

from matinee.encoding.api import Job
from matinee.encoding.model.progress import compute_share_done, estimate_remaining_ms, update_step
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()
MAX_WARNINGS = 20


class ProgressReporter:
    """The state of one running job, ready to be saved."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.now()
        self._share_at_start = compute_share_done(job.steps)
        self.job = job

    def start(self, step: str, total: int = 0) -> None:
        """Start a step; `total` is in its own unit."""
        self.job = update_step(self.job, step, self._clock.now(), state="running", done=0, total=total)

    def advance(self, step: str, done: int) -> None:
        """Set how much of a step is done."""
        self.job = update_step(self.job, step, self._clock.now(), done=done)

    def finish(self, step: str, *, kept: bool) -> None:
        """Finish a step; `kept` means that an earlier attempt had done it."""
        now = self._clock.now()
        total = next((candidate.total for candidate in self.job.steps if candidate.name == step), 0)
        self.job = update_step(self.job, step, now, state="done", done=total)
        if kept:
            self._share_at_start, self._started_at = compute_share_done(self.job.steps), now
        else:  # the job made progress, so earlier failures no longer count against it
            self.job = msgspec.structs.replace(self.job, attempts=1)
        _log.info("encode.step", job_id=self.job.job_id, step=step, kept=kept)

    def warn(self, warning: str) -> None:
        """Add a warning for a person."""
        if warning not in self.job.warnings and len(self.job.warnings) < MAX_WARNINGS:
            self.job = msgspec.structs.replace(self.job, warnings=[*self.job.warnings, warning])

    def withdraw(self, warning: str) -> None:
        """Remove a warning that has turned out to be wrong."""
        warnings = [other for other in self.job.warnings if other != warning]
        self.job = msgspec.structs.replace(self.job, warnings=warnings)

    def estimate(self) -> Job:
        """Return the job with an estimate of its remaining time."""
        now = self._clock.now()
        elapsed_ms = round((now - self._started_at).total_seconds() * 1000)
        left_ms = estimate_remaining_ms(self._share_at_start, compute_share_done(self.job.steps), elapsed_ms)
        self.job = msgspec.structs.replace(self.job, remaining_ms=left_ms, updated_at=now)
        return self.job
