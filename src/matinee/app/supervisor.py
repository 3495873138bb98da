"""Start processes, restart those that end, and stop them all, leaving nothing behind.

Each process has its own process group, which is killed when the process ends, so that no encoder outlives its worker.
Each also has one end of a socket pair, its *lifeline*. It writes reports to it: whether it is ready, or what it waits
for. When the supervisor dies, the other end closes and the process stops. A program that does not use the lifeline
runs under `matinee.app.guard`, which watches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from matinee.app.guard import LIFELINE
from matinee.drivers.engine import EngineState
from matinee.kit import log

State: TypeAlias = Literal["starting", "waiting", "running", "restarting", "finished", "stopped"]
# Long, because a busy machine starts slowly. A process that exits is noticed earlier.
READY_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
BACKOFF_S = (0.1, 10.0)
# A process that lived this long is restarted without back-off.
STABLE_S = 30.0
HEALTH_INTERVAL_S = 5.0
MAX_FAILED_CHECKS = 3
MAX_EARLY_EXITS = 5
LOG_LIMIT_BYTES = 16 << 20

_log = log.get()


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


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """The complete state of a process, as it writes it on its lifeline, one line for each change.

    `health_url` answers while the process lives, `waiting` is the reason why it is not ready yet.
    """

    ready: bool = False
    health_url: str = ""
    waiting: str = ""
    engines: tuple[EngineState, ...] = ()


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A supervised process as `matinee status` shows it."""

    name: str
    state: State
    pid: int
    restarts: int
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

        Raises RuntimeError with its last log line when it is not ready in time or exits repeatedly.
        """
        process = _Process(program, self._logs / f"{program.name}.log", self._write_record, self._on_waiting)
        self._processes[program.name] = process
        running = process.run()
        settled = asyncio.create_task(process.settled.wait())
        while not (await asyncio.wait([running, settled], timeout=ready_s, return_when=asyncio.FIRST_COMPLETED))[0]:
            if not process.status().waiting:
                break
        settled.cancel()
        if running.done():
            running.result()
        if not process.is_ready:
            raise RuntimeError(f"{program.name} did not get ready: {process.last_log_line()}")

    def statuses(self) -> list[ProcessStatus]:
        """Return the current status of every process."""
        return [process.status() for process in self._processes.values()]

    async def stop(self) -> None:
        """Stop everything, last started first."""
        for process in reversed(self._processes.values()):
            await process.stop()
        self._record.unlink(missing_ok=True)

    def _write_record(self) -> None:
        fresh = self._record.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self.statuses()))
            fresh.replace(self._record)
        except OSError as error:  # a full disk may leave the record outdated, but must not end supervision
            _log.warning("record.not_written", error=repr(error))


class _Process:
    """One program and its current process."""

    def __init__(
        self,
        program: Program,
        log_path: Path,
        on_change: Callable[[], None],
        on_waiting: Callable[[ProcessStatus], None],
    ) -> None:
        self.program = program
        self.is_ready = False
        self.settled = asyncio.Event()  # set when it was ready once, or exited too often before
        self._log_path = log_path
        self._on_change = on_change
        self._on_waiting = on_waiting
        self._state: State = "starting"
        self._restarts = 0
        self._child: asyncio.subprocess.Process | None = None
        self._report = ProcessReport()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def run(self) -> asyncio.Task[None]:
        """Keep the program running until `stop`."""
        self._task = asyncio.create_task(self._keep_running(), name=f"supervise-{self.program.name}")
        return self._task

    def status(self) -> ProcessStatus:
        return ProcessStatus(
            name=self.program.name,
            state=self._state,
            pid=self._child.pid if self._child else 0,
            restarts=self._restarts,
            health_url=self._report.health_url,
            waiting=self._report.waiting,
            engines=self._report.engines,
        )

    async def stop(self) -> None:
        self._stopping = True
        child = self._child
        if child is not None and child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                _kill_group(child.pid)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set_state("stopped")

    def last_log_line(self) -> str:
        with contextlib.suppress(OSError):
            if lines := self._log_path.read_text(errors="replace").strip().splitlines():
                return lines[-1][:400]
        return "its log is empty"

    async def _keep_running(self) -> None:
        pause_s = BACKOFF_S[0]
        while not self._stopping:
            started = time.monotonic()
            code = await self._run_once()
            if self.program.once and code == 0:
                self._set_state("finished")
                return
            if self._stopping:
                return
            lived_s = time.monotonic() - started
            pause_s = BACKOFF_S[0] if lived_s > STABLE_S else min(pause_s * 2, BACKOFF_S[1])
            _log.warning("process.ended", name=self.program.name, exit_status=code, lived_s=round(lived_s, 1))
            self._restarts += 1
            if self._restarts == MAX_EARLY_EXITS:
                self.settled.set()
            self._set_state("restarting")
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        with self._open_log() as output:
            child = await asyncio.create_subprocess_exec(
                *self._command(),
                env={**os.environ, **self.program.environment, LIFELINE: str(theirs.fileno())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        theirs.close()
        self._child = child
        self._set_state("starting" if self._restarts == 0 else "restarting")
        watching = [asyncio.create_task(self._read_reports(ours)), asyncio.create_task(self._check_health(child))]
        try:
            return await child.wait()
        finally:
            for task in watching:
                task.cancel()
            ours.close()
            _kill_group(child.pid)

    def _command(self) -> Sequence[str]:
        if self.program.lifeline:
            return self.program.command
        return [sys.executable, "-m", "matinee.app.guard", *self.program.command]

    async def _read_reports(self, lifeline: socket.socket) -> None:
        if not self.program.lifeline:
            self._on_report(ProcessReport(ready=True))
            return
        lifeline.setblocking(False)
        rest = b""
        with contextlib.suppress(OSError):  # the process ended
            while received := await asyncio.get_running_loop().sock_recv(lifeline, 1 << 16):
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    self._on_report(msgspec.json.decode(line, type=ProcessReport))

    def _on_report(self, report: ProcessReport) -> None:
        has_new_reason = report.waiting and report.waiting != self._report.waiting
        self._report = report
        self._state = "running" if report.ready else "waiting" if report.waiting else self._state
        if report.ready:
            self.is_ready = True
            self.settled.set()
        self._on_change()
        if has_new_reason:
            self._on_waiting(self.status())

    async def _check_health(self, child: asyncio.subprocess.Process) -> None:
        """Kill the process when it no longer answers."""
        failed = 0
        while failed < MAX_FAILED_CHECKS:
            await asyncio.sleep(HEALTH_INTERVAL_S)
            url = self._report.health_url
            failed = 0 if not url or await _answers(url) else failed + 1
        _log.warning("process.unresponsive", name=self.program.name, pid=child.pid)
        _kill_group(child.pid)

    def _open_log(self) -> BinaryIO:
        with contextlib.suppress(FileNotFoundError):
            if self._log_path.stat().st_size > LOG_LIMIT_BYTES:
                self._log_path.replace(self._log_path.with_suffix(".log.1"))
        return self._log_path.open("ab")

    def _set_state(self, state: State) -> None:
        self._state, self._report = state, ProcessReport()
        self._on_change()


async def _answers(health_url: str) -> bool:
    """Return whether a process answers. Any HTTP response counts: an overloaded process is alive."""
    parts = urlsplit(health_url)
    try:
        async with asyncio.timeout(HEALTH_INTERVAL_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(
                f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            start = await reader.read(12)
            writer.close()
            return start.startswith(b"HTTP/1.1")
    except (OSError, TimeoutError):
        return False


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Lifeline:
    """The supervised process's end of the lifeline. Without a supervisor it does nothing."""

    def __init__(self) -> None:
        number = os.environ.pop(LIFELINE, "")
        self._socket = socket.socket(fileno=int(number)) if number else None

    def report_ready(self, health_url: str, engines: tuple[EngineState, ...] = ()) -> None:
        """Report that this process is ready, and the states of its engines."""
        self._report(ProcessReport(ready=True, health_url=health_url, engines=engines))

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


async def wait_for_stop(lifeline: Lifeline) -> None:
    """Wait for SIGINT, SIGTERM or the end of the supervisor."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    waiting = [asyncio.create_task(stopped.wait()), asyncio.create_task(lifeline.wait_closed())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def python_command(*arguments: str) -> list[str]:
    """Return the command that runs `matinee` with this interpreter."""
    return [sys.executable, "-m", "matinee", *arguments]
