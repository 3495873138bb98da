"""Memory of a process that serves requests."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

# https://www.man7.org/linux/man-pages/man3/mallopt.3.html
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2
# Objects that are made before the youngest ones are examined, and how often those before are (Python: 700, 10, 10).
_COLLECTED: Final = (50_000, 20, 20)


def limit_arenas() -> None:
    """Let the threads of this process share two arenas of glibc; without glibc this does nothing.

    By default there are eight for each core, and each keeps what its threads have freed: a library that starts
    threads for each piece of work, as tantivy does, then holds many times the memory that it needs.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def collect_garbage_less_often() -> None:
    """Let the garbage collector look for cycles of objects less often.

    A request makes thousands of objects that are no part of cycles, such as titles from a database. By Python's
    defaults each request would examine them several times, and those of others that are in memory.
    """
    gc.set_threshold(*_COLLECTED)
