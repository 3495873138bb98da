"""Programs run as supervised children: a deadline, lines as they come, no survivor.

A child stays in our process group, so that whoever ends the group ends it too; on Linux it is also killed by the
kernel when the thread that started it ends (`setpriv`, exec'd through: no code of ours runs between fork and exec).
Start children from a thread that lives as long as the process, which an event loop's is.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

TAIL_LINES = 60
_LINE_LIMIT = 1 << 20


class ToolFailed(Exception):
    """A program ended badly or ran out of time; `tail` is the last it said."""

    def __init__(self, tool: str, status: int | None, tail: Sequence[str]) -> None:
        self.tool = tool
        self.status = status
        self.tail = list(tail)
        ending = "ran out of time" if status is None else f"ended with status {status}"
        super().__init__(f"{tool} {ending}: {' | '.join(self.tail[-3:])}")

    @property
    def disk_full(self) -> bool:
        """Whether it ended for want of room."""
        return any("No space left on device" in line or "Disk quota exceeded" in line for line in self.tail)


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    deadline_s: float,
    nice: int = 0,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Run a program to its end and tell the last lines of its error output.

    `on_line` is handed each line of its output. Raises ToolFailed; when cancelled, kills it and waits for its end.
    """
    process = await asyncio.create_subprocess_exec(
        *_guarded(argv, nice), cwd=cwd, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=_LINE_LIMIT
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    status: int | None = None
    try:
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(_lines(process.stdout, on_line), _lines(process.stderr, tail.append))
            status = await process.wait()
    except TimeoutError:
        pass
    finally:
        await _ended(process)
    if status != 0:
        raise ToolFailed(Path(argv[0]).name, status, tail)
    return list(tail)


async def _lines(stream: asyncio.StreamReader | None, take: Callable[[str], object] | None) -> None:
    assert stream is not None
    async for line in stream:
        if take is not None:
            take(line.decode(errors="replace").rstrip("\r\n"))


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await asyncio.shield(process.wait())


def _guarded(argv: Sequence[str], nice: int) -> list[str]:
    niced = ["nice", "-n", str(nice)] if nice else []
    return [*niced, *_die_with_parent(), *argv]


@cache
def _die_with_parent() -> tuple[str, ...]:
    if sys.platform == "linux" and (setpriv := shutil.which("setpriv")):
        return (setpriv, "--pdeathsig", "KILL", "--")
    return ()
