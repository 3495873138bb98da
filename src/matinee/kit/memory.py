"""Memory of the C library."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

# https://www.man7.org/linux/man-pages/man3/mallopt.3.html
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def limit_arenas() -> None:
    """Let the threads of this process share two arenas of glibc; without glibc this does nothing.

    By default there are eight for each core, and each keeps what its threads have freed: a library that starts
    threads for each piece of work, as tantivy does, then holds many times the memory that it needs.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
