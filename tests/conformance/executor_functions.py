"""Functions that workers run in the tests of the executor."""

from __future__ import annotations

import os
import time
from pathlib import Path

from matinee.encoding.model.subtitles import parse_subtitles
from matinee.kit import context
from matinee.kit.problem import TooLarge


class Unpicklable(Exception):
    """An exception that cannot be rebuilt from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def get_pid() -> int:
    """Return the id of the worker."""
    print("to standard error")
    return os.getpid()


def get_context() -> context.Context:
    """Return the context that the worker sees."""
    return context.current()


def echo(data: bytes) -> bytes:
    """Return the data."""
    return data


def refuse(limit_bytes: int) -> None:
    """Raise a Problem."""
    raise TooLarge(limit_bytes=limit_bytes)


def raise_timeout() -> None:
    """Raise the exception by which asyncio reports a deadline."""
    raise TimeoutError("of the function")


def raise_unpicklable() -> None:
    """Raise an exception that cannot be pickled."""
    raise Unpicklable(1, 2)


def make_unpicklable() -> object:
    """Return a value that cannot be pickled."""
    return lambda: None


def parse_broken() -> None:
    """Raise InvalidSubtitles."""
    parse_subtitles(b"1\nnonsense\n", "srt")


def spin(file: Path) -> None:
    """Write the id of the worker into a file, then compute without end."""
    part = file.with_suffix(".part")
    part.write_text(str(os.getpid()))
    part.replace(file)
    while True:
        time.perf_counter()


def die(status: int) -> None:
    """End the worker process."""
    os._exit(status)
