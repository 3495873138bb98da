"""What an error means for a job: whether trying again can help, and what a person is told."""

from __future__ import annotations

import errno

import msgspec

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull
from matinee.drivers.process import ToolFailed
from matinee.encoding.model.refusals import make_no_space
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem, Unreachable

_PASSING = (Unreachable, Overloaded, DeadlineExceeded, EngineUnavailable, EngineReadOnly)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Verdict(msgspec.Struct, frozen=True):
    """`final` when trying again cannot help; `reason` is one line."""

    final: bool
    reason: str


def verdict(error: BaseException) -> Verdict:
    """Judge what a job ended with."""
    error = innermost(error)
    if is_full(error):
        return Verdict(True, str(make_no_space("The disk is full", 0, 0)))
    if isinstance(error, Problem):
        return Verdict(not isinstance(error, _PASSING), one_line(str(error)))
    return Verdict(False, one_line(str(error) or type(error).__name__))


def innermost(error: BaseException) -> BaseException:
    """The first error in a group; of several that failed together, the one that stopped the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def is_full(error: BaseException) -> bool:
    """Whether it was for want of room on the disk that work is done on."""
    if isinstance(error, ToolFailed):
        return error.disk_full
    return isinstance(error, StoreFull) or (isinstance(error, OSError) and error.errno in _FULL)


def one_line(text: str) -> str:
    """A text as one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= 400 else line[:399] + "…"
