"""Runs programs as supervised child processes with a deadline and line by line output; none outlives its caller.

A child stays in our process group, so that ending the group ends it. On Linux the kernel also kills it when the thread
that started it ends (by `setpriv`, so that no code of ours runs between fork and exec): start children from a thread
that lives as long as the process, such as the event loop's.
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
_MAX_LINE_BYTES = 1 << 20


class ToolFailed(Exception):
    """A program failed or exceeded its deadline (`status` None). `tail` has the last lines of its error output."""

    def __init__(self, tool: str, status: int | None, tail: Sequence[str]) -> None:
        self.tool = tool
        self.status = status
        self.tail = list(tail)
        outcome = "exceeded its deadline" if status is None else f"ended with status {status}"
        super().__init__(f"{tool} {outcome}: {' | '.join(self.tail[-3:])}")

    @property
    def too_long(self) -> bool:
        """Whether it was ended because a line of its output was too long."""
        return _TOO_LONG in self.tail

    @property
    def disk_full(self) -> bool:
        """Whether it failed because the disk was full."""
        return any("No space left on device" in line or "Disk quota exceeded" in line for line in self.tail)


_TOO_LONG = "a line of its output is too long"


class OutputTooLong(Exception):
    """A program writes more than its caller reads."""


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    deadline_s: float,
    nice: int = 0,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Run a program to its end and return the last lines of its error output.

    `on_line` is called with each line of standard output; it may raise OutputTooLong, which ends the program. Raises
    ToolFailed. When cancelled, kills the program and waits for its end.
    """
    process = await asyncio.create_subprocess_exec(
        *_build_argv(argv, nice), cwd=cwd, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=_MAX_LINE_BYTES
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    status: int | None = None
    try:
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(_read_lines(process.stdout, on_line), _read_lines(process.stderr, tail.append))
            status = await process.wait()
    except TimeoutError:
        pass
    except OutputTooLong as error:
        tail.append(str(error))
        await kill(process)
        status = process.returncode or 1
    finally:
        await kill(process)
    if status != 0:
        raise ToolFailed(Path(argv[0]).name, status, tail)
    return list(tail)


async def _read_lines(stream: asyncio.StreamReader | None, on_line: Callable[[str], object] | None) -> None:
    assert stream is not None
    while True:
        try:
            line = await stream.readline()
        except ValueError as error:  # longer than `_MAX_LINE_BYTES`
            raise OutputTooLong(_TOO_LONG) from error
        if not line:
            return
        if on_line is not None:
            on_line(line.decode(errors="replace").rstrip("\r\n"))


async def kill(process: Process) -> None:
    """Kill a child process if it is running, and wait for its end."""
    if process.returncode is None:
        process.kill()
        await asyncio.shield(process.wait())


def _build_argv(argv: Sequence[str], nice: int) -> list[str]:
    return [*(["nice", "-n", str(nice)] if nice else ()), *die_with_parent("KILL"), *argv]


@cache
def die_with_parent(signal_name: str) -> tuple[str, ...]:
    """Return the command prefix by which Linux signals a child when the thread that started it ends."""
    if sys.platform == "linux" and (setpriv := shutil.which("setpriv")):
        return (setpriv, "--pdeathsig", signal_name, "--")
    return ()
