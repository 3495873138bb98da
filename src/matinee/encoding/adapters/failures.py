"""Translation of the drivers' failures into those of the ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from matinee.drivers.process import ToolFailed
from matinee.encoding.ports import MediaToolFailed


@contextmanager
def translate_failures() -> Iterator[None]:
    """Raise MediaToolFailed for a program that failed."""
    try:
        yield
    except ToolFailed as error:
        raise MediaToolFailed(str(error), disk_full=error.disk_full) from error
