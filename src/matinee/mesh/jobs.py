"""Supervised background jobs: restarted when they fail, counted, and reported when they keep failing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, TypeAlias

import msgspec

from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit import log
from matinee.kit.problem import DeadlineExceeded, Overloaded, Unreachable

_log = log.get()
Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

# Failures of a dependency: all instances have them, so this one stays ready (ADR 0014).
_OF_DEPENDENCIES: Final = (*ENGINE_PROBLEMS, DeadlineExceeded, Overloaded, Unreachable)


class FailingJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has failed repeatedly, with its last error."""

    job: str
    failures: int
    error: str


class JobSupervisor:
    """Runs background jobs until `stop`.

    A job that raises is restarted after a pause, which doubles from `pause_s` to `max_pause_s`, and `on_failure` is
    called with its name. After `threshold` failures in a row it is reported as failing, until it has run for
    `stable_s`. A job that returns has finished.
    """

    def __init__(
        self,
        *,
        on_failure: Callable[[str], None],
        rng: Random | None = None,
        pause_s: float = 0.5,
        max_pause_s: float = 30.0,
        stable_s: float = 60.0,
        threshold: int = 3,
    ) -> None:
        self._on_failure = on_failure
        self._rng = rng or Random()  # noqa: S311  # spreads restarts
        self._pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._stable_s = stable_s
        self._threshold = threshold
        self._states: dict[str, _State] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def failing(self) -> tuple[FailingJob, ...]:
        """The jobs that keep failing, sorted by name."""
        return tuple(
            FailingJob(job=name, failures=state.failures, error=state.error)
            for name, state in sorted(self._states.items())
            if state.failures >= self._threshold and not state.is_stable(self._stable_s)
        )

    def start(self, name: str, job: Job) -> None:
        """Start a job; `job` is called again for each restart."""
        state = self._states[name] = _State()
        self._tasks.append(asyncio.create_task(self._run(name, job, state), name=name))

    async def stop(self) -> None:
        """Cancel all jobs and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, name: str, job: Job, state: _State) -> None:
        while (error := await _run_once(job, state)) is not None:
            state.fail(error, self._stable_s)
            self._on_failure(name)
            _log.error("job.failed", job=name, restarts=state.restarts, exc_info=error)
            pause_s = min(self._max_pause_s, self._pause_s * 2.0 ** min(state.restarts - 1, 30))
            await asyncio.sleep(pause_s * (0.5 + self._rng.random()))


async def _run_once(job: Job, state: _State) -> BaseException | None:
    """Run a job to its end and return its exception."""
    state.started_s = time.monotonic()
    try:
        await job()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return error  # raised by the job itself, not by `stop`
    except Exception as error:
        return error
    return None


class _State:
    """The restarts of one job in a row, and its failures among them that are not those of a dependency."""

    def __init__(self) -> None:
        self.restarts = 0
        self.failures = 0
        self.error = ""
        self.started_s: float | None = None

    def is_stable(self, stable_s: float) -> bool:
        return self.started_s is not None and time.monotonic() - self.started_s >= stable_s

    def fail(self, error: BaseException, stable_s: float) -> None:
        if self.is_stable(stable_s):
            self.restarts = self.failures = 0
        self.started_s = None
        self.restarts += 1
        if not isinstance(error, _OF_DEPENDENCIES):
            self.failures += 1
            self.error = repr(error)
