"""As process 1 of a container, reap the children of killed processes: they are inherited and would stay zombies."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

_INTERVAL_S = 5.0


async def reap_orphans(own: Callable[[], Collection[int]]) -> None:
    """Reap inherited processes that have ended, until cancelled. `own` returns the pids that others wait for."""
    before: set[int] = set()
    while True:
        before = reap(own(), before)
        await asyncio.sleep(_INTERVAL_S)


def reap(own: Collection[int], before: Collection[int]) -> set[int]:
    """Reap the zombies that were there `before`, and return the others, for which somebody may be waiting."""
    zombies = _list_inherited_zombies() - set(own)
    for pid in zombies & set(before):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return zombies - set(before)


def _list_inherited_zombies() -> set[int]:
    """Return the ended children outside of this process's group; those in it were started, not inherited."""
    children: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children.update(map(int, file.read_text().split()))
    return {pid for pid in children if _is_zombie_of_another_group(pid)}


def _is_zombie_of_another_group(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
        return state == "Z" and int(group) != os.getpgrp()
    return False
