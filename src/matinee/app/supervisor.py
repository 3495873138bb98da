"""Start processes, restart those that end, and stop them all, leaving nothing behind.

Each process has its own process group, which is killed when the process ends, so that no encoder outlives its worker.
Each also has a lifeline (`matinee.app.lifeline`): it reports on it whether it is ready, and stops when the supervisor
dies. A program that does not use the lifeline runs under `matinee.app.guard`, which watches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import msgspec

from matinee.app.guard import LIFELINE
from matinee.app.lifeline import ProcessReport
from matinee.drivers.engine import EngineState
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient
from matinee.kit import log
from matinee.kit.problem import Problem
from matinee.kit.ticks import sleep_until_tick

State: TypeAlias = Literal["starting", "waiting", "running", "restarting", "finished", "stopped"]
# Long, because a busy machine starts slowly. A process that exits is noticed earlier.
READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
BACKOFF_S = (0.1, 10.0)
# A process that lived this long is restarted without back-off.
STABLE_S = 30.0
HEALTH_INTERVAL_S = 5.0
MAX_FAILED_CHECKS = 3
# The exit status of our processes where the settings cannot be used.
BAD_SETTINGS = 2
MAX_EARLY_EXITS = 5
LOG_LIMIT_BYTES = 16 << 20

_log = log.get()


class NotStarted(Problem, status=500):
    """Matinee could not start."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running.

    With `once` it is not restarted after a successful exit. With `lifeline` it reports when it is ready; otherwise it
    counts as ready as soon as it was started.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    once: bool = False
    lifeline: bool = True


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A supervised process as `matinee status` shows it; the last three fields are those of its last report."""

    name: str
    state: State = "starting"
    pid: int = 0
    restarts: int = 0
    health_url: str = ""
    waiting: str = ""
    engines: tuple[EngineState, ...] = ()


class Supervisor:
    """Keeps programs running. `record` is a file with the current statuses, read by `matinee status`.

    `on_waiting` is called with each new reason for which a program waits at its start.
    """

    def __init__(
        self, *, logs: Path, record: Path, on_waiting: Callable[[ProcessStatus], None] = lambda status: None
    ) -> None:
        self._logs = logs
        self._record = record
        self._on_waiting = on_waiting
        self._processes: dict[str, _Process] = {}
        logs.mkdir(parents=True, exist_ok=True)
        record.parent.mkdir(parents=True, exist_ok=True)

    async def start(self, program: Program, ready_s: float = READY_TIMEOUT_S) -> None:
        """Start a program and wait until it is ready, without limit while it reports that it waits for an engine.

        Raises NotStarted with its last log line when it is not ready in time, exits repeatedly or refuses its settings.
        """
        process = _Process(program, self.log_file(program.name), self._on_change)
        self._processes[program.name] = process
        await process.wait_until_ready(ready_s)

    def log_file(self, name: str) -> Path:
        """Return the file of a program's output."""
        return self._logs / f"{name}.log"

    def statuses(self) -> list[ProcessStatus]:
        """Return the current status of every process."""
        return [process.status for process in self._processes.values()]

    async def stop(self) -> None:
        """Stop everything, last started first."""
        for process in reversed(self._processes.values()):
            await process.stop()
        self._record.unlink(missing_ok=True)

    def _on_change(self, before: ProcessStatus, status: ProcessStatus) -> None:
        self._write_record()
        if status.waiting not in ("", before.waiting):
            self._on_waiting(status)

    def _write_record(self) -> None:
        fresh = self._record.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self.statuses()))
            fresh.replace(self._record)
        except OSError as error:  # a full disk may leave the record outdated, but must not end supervision
            _log.warning("record.not_written", error=repr(error))


class _Process:
    """One program and its current process. `on_change` is called with the status before and after each change."""

    def __init__(
        self, program: Program, log_path: Path, on_change: Callable[[ProcessStatus, ProcessStatus], None]
    ) -> None:
        self.status = ProcessStatus(name=program.name)
        self._program = program
        self._log_path = log_path
        self._on_change = on_change
        # Whether it was ready once; False when it has exited too often before, or refused its settings twice.
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep_running(), name=f"supervise-{program.name}")

    async def wait_until_ready(self, limit_s: float) -> None:
        """Wait until it is ready, without limit while it reports a reason for waiting. Raises NotStarted."""
        awaited = (self._task, self._ready)
        while not (await asyncio.wait(awaited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED))[0]:
            if not self.status.waiting:
                break
        if self._task.done():
            self._task.result()
        if not (self._ready.done() and self._ready.result()):
            failure = f"{self._program.name} did not get ready: {self._read_last_log_line()}"
            raise NotStarted(detail=f"{failure} (log: {self._log_path})")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._set_state("stopped")

    async def _keep_running(self) -> None:
        pause_s, refusals = BACKOFF_S[0], 0
        while True:
            started = time.monotonic()
            code = await self._run_once()
            if self._program.once and code == 0:
                self._set_state("finished")
                return
            lived_s = time.monotonic() - started
            pause_s = BACKOFF_S[0] if lived_s > STABLE_S else min(pause_s * 2, BACKOFF_S[1])
            _log.warning("process.ended", name=self._program.name, exit_status=code, lived_s=round(lived_s, 1))
            self._set_state("restarting", restarts=self.status.restarts + 1)
            # Twice in a row, because a port may have been taken by a process that was ending.
            refusals = refusals + 1 if self._program.lifeline and code == BAD_SETTINGS else 0
            if refusals == 2 or self.status.restarts == MAX_EARLY_EXITS:
                self._settle(is_ready=False)
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> int:
        """Run the program until it ends and return its exit status; if cancelled, stop it."""
        ours, theirs = socket.socketpair()
        reports, lifeline = await asyncio.open_unix_connection(sock=ours)
        with contextlib.closing(lifeline):
            with theirs:
                child = await self._spawn(theirs)
            self._set_state("restarting" if self.status.restarts else "starting", pid=child.pid)
            watching = [asyncio.create_task(work) for work in (self._read_reports(reports), self._check_health(child))]
            try:
                return await child.wait()
            except asyncio.CancelledError:
                await _terminate(child)
                raise
            finally:
                for task in watching:
                    task.cancel()
                _kill_group(child.pid)

    async def _spawn(self, lifeline: socket.socket) -> asyncio.subprocess.Process:
        guard = [] if self._program.lifeline else [sys.executable, "-m", "matinee.app.guard"]
        with self._open_log() as output:
            return await asyncio.create_subprocess_exec(
                *guard,
                *self._program.command,
                env={**os.environ, **self._program.environment, LIFELINE: str(lifeline.fileno())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[lifeline.fileno()],
                process_group=0,
            )

    def _open_log(self) -> BinaryIO:
        self._limit_log()
        return self._log_path.open("ab")

    def _limit_log(self) -> None:
        """Keep the log within its limit, with one before it.

        It is copied and emptied, because a running process keeps the file open; lines written in between are lost.
        """
        with contextlib.suppress(OSError):  # such as a full disk
            if self._log_path.stat().st_size > LOG_LIMIT_BYTES:
                shutil.copyfile(self._log_path, self._log_path.with_suffix(".log.1"))
                os.truncate(self._log_path, 0)

    def _read_last_log_line(self) -> str:
        with contextlib.suppress(OSError):
            if lines := self._log_path.read_text(errors="replace").strip().splitlines():
                return lines[-1][:400]
        return "its log is empty"

    async def _read_reports(self, reports: asyncio.StreamReader) -> None:
        if not self._program.lifeline:
            self._on_report(ProcessReport())
        with contextlib.suppress(OSError):  # the process ended
            async for line in reports:
                self._on_report(msgspec.json.decode(line, type=ProcessReport))

    def _on_report(self, report: ProcessReport) -> None:
        self._update(state="waiting" if report.waiting else "running", **msgspec.structs.asdict(report))
        if not report.waiting:
            self._settle(is_ready=True)

    async def _check_health(self, child: asyncio.subprocess.Process) -> None:
        """Kill the process when it no longer answers."""
        failed = 0
        while failed < MAX_FAILED_CHECKS:
            await sleep_until_tick(HEALTH_INTERVAL_S)
            await asyncio.to_thread(self._limit_log)
            url = self.status.health_url
            failed = 0 if not url or await _answers(url) else failed + 1
        _log.warning("process.unresponsive", name=self._program.name, pid=child.pid)
        _kill_group(child.pid)

    def _set_state(self, state: State, **changes: Any) -> None:
        """Change the state, and forget the last report."""
        self._update(state=state, **msgspec.structs.asdict(ProcessReport()), **changes)

    def _update(self, **changes: Any) -> None:
        before, self.status = self.status, msgspec.structs.replace(self.status, **changes)
        self._on_change(before, self.status)

    def _settle(self, *, is_ready: bool) -> None:
        if not self._ready.done():
            self._ready.set_result(is_ready)


async def _answers(health_url: str) -> bool:
    """Return whether a process answers. Any HTTP response counts: an overloaded process is alive."""
    async with HttpClient() as http:
        try:
            await http.request("GET", health_url, timeout_s=HEALTH_INTERVAL_S)
        except (ConnectFailed, ConnectionBroken, TimeoutError):
            return False
    return True


async def _terminate(child: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and wait a limited time for it."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        child.send_signal(signal.SIGTERM)
        await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
