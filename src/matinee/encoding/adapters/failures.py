"""Translation of the drivers' failures into those of the ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from matinee.drivers.process import ToolFailed
from matinee.encoding.ports import MediaToolFailed

# What a tool logs when the machine failed and not the file.
_TRANSIENT = ("Input/output error", "Cannot allocate memory", "Resource temporarily unavailable")


@contextmanager
def translate_failures() -> Iterator[None]:
    """Raise MediaToolFailed for a program that failed."""
    try:
        yield
    except ToolFailed as error:
        # A negative status is a signal: the kernel kills the largest process when memory is short.
        ended = error.status is not None and error.status > 0 and not error.disk_full
        repeats = ended and not any(sign in line for line in error.tail for sign in _TRANSIENT)
        raise MediaToolFailed(str(error), disk_full=error.disk_full, repeats=repeats) from error
