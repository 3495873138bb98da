"""The lifeline of a supervised process: one end of a socket pair, whose other end the supervisor holds.

The process writes reports to it, and stops when the other end closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

import msgspec

from matinee.app.guard import LIFELINE
from matinee.drivers.engine import EngineState

# The supervisor gives a process as long to stop.
ORPHAN_LIMIT_S = 10.0


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """The complete state of a process, which it writes on its lifeline, one line for each change.

    `waiting` is the reason why it is not ready yet; `health_url` answers while it lives.
    """

    waiting: str = ""
    health_url: str = ""
    engines: tuple[EngineState, ...] = ()


class Lifeline:
    """The process's end of the lifeline. Without a supervisor it does nothing."""

    def __init__(self) -> None:
        number = os.environ.pop(LIFELINE, "")
        self._socket = socket.socket(fileno=int(number)) if number else None

    def report_ready(self, health_url: str, engines: tuple[EngineState, ...] = ()) -> None:
        """Report that this process is ready, and the states of its engines."""
        self._report(ProcessReport(health_url=health_url, engines=engines))

    def report_waiting(self, reason: str) -> None:
        """Report what this process waits for before it can be ready."""
        self._report(ProcessReport(waiting=reason))

    def _report(self, report: ProcessReport) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(msgspec.json.encode(report) + b"\n")

    async def wait_closed(self) -> None:
        """Wait until the supervisor is gone; without one, wait forever."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_recv(self._socket, 1)


async def wait_for_stop(lifeline: Lifeline, orphan_limit_s: float = ORPHAN_LIMIT_S) -> None:
    """Wait for SIGINT, SIGTERM or the end of the supervisor; after that, this process is killed when the limit ends."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    waiting = [asyncio.create_task(stopped.wait()), asyncio.create_task(lifeline.wait_closed())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if waiting[1].done():  # nothing else would end a process that hangs while it stops
        signal.setitimer(signal.ITIMER_REAL, orphan_limit_s)
    for task in waiting:
        task.cancel()
