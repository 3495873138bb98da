"""The executor port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

from matinee.kit.problem import Problem

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class WorkerDied(Problem, status=503):
    """A worker process died during its work; another attempt may succeed."""

    function: str
    exit_status: int


class Executor(Protocol):
    """Runs CPU-bound functions in worker processes, with the context of the caller."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, limit_s: float | None = None) -> T:
        """Run a function of a module, and return its result or raise its exception; all must be picklable.

        The worker is killed at the deadline of the context, after `limit_s`, and when the caller is cancelled. Raises
        DeadlineExceeded, WorkerDied, and Overloaded when too many calls wait for a worker.
        """
