"""What a failure means for a job: whether another attempt can help, and the reason to show."""

from __future__ import annotations

from matinee.encoding.api import NoSpace
from matinee.encoding.model.refusals import DISK_FULL, make_no_space
from matinee.encoding.ports import MediaToolFailed
from matinee.kit.problem import Problem
from matinee.mesh.queue.worker import Failure

# HTTP statuses of problems that pass by themselves: a dependency is unavailable or late.
_TRANSIENT = (503, 504)
_MAX_LETTERS = 400


def classify_failure(error: BaseException) -> Failure:
    """Classify the exception that ended a job."""
    error = find_first(error)
    if isinstance(error, NoSpace):
        return _wait_for_space(error)
    if isinstance(error, Problem):
        return Failure(error.status not in _TRANSIENT, _format_line(str(error)))
    if is_disk_full(error):
        return _wait_for_space(make_no_space("The disk is full"))
    if isinstance(error, MediaToolFailed):
        return Failure(False, "A media tool was stopped: it took too long, or the machine had too little memory.")
    return Failure(False, _format_line(str(error) or type(error).__name__))


def find_first(error: BaseException) -> BaseException:
    """Return an exception; of a group, its first: the one that stopped the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _wait_for_space(error: NoSpace) -> Failure:
    return Failure(False, _format_line(f"{error} The job then goes on by itself."), waits=True)


def is_disk_full(error: BaseException) -> bool:
    """Return whether the working disk was full."""
    if isinstance(error, MediaToolFailed):
        return error.disk_full
    return isinstance(error, OSError) and error.errno in DISK_FULL


def _format_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LETTERS else line[: _MAX_LETTERS - 1] + "…"
