"""The process of an engine: started, stopped, killed and paused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from matinee.app.guard import LIFELINE
from matinee.lab.engines.engine import Engine
from matinee.lab.engines.location import EngineFailed, open_location

START_S = 180.0
STOP_S = 30.0
POLL_S = 0.05


class ProcessRecord(msgspec.Struct, kw_only=True):
    """The stored process of an engine; `born`, its start time, tells it from a later one with the same id."""

    pid: int
    born: str


class EngineProcess:
    """The process of an engine in a folder. If `tied`, it ends with this process; else it runs until `stop`.

    Several processes may use the same folder: the first one starts the engine, the others find it running.
    """

    def __init__(self, engine: Engine, folder: Path, *, tied: bool = True) -> None:
        self.engine = engine
        self.location = open_location(folder, engine.ports)
        self._tied = tied
        self._record = self.location.folder / "process.json"
        self._log = self.location.folder / "log"
        self._lifeline: socket.socket | None = None

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def pid(self) -> int:
        """Its process id; 0 if it is not running."""
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            record = msgspec.json.decode(self._record.read_bytes(), type=ProcessRecord)
            if record.born and record.born == read_start_time(record.pid):
                return record.pid
        return 0

    @property
    def is_ready(self) -> bool:
        """Whether it answers a real request."""
        return self.engine.is_ready(self.location)

    @property
    def memory_bytes(self) -> int:
        """Its resident memory; 0 if it is not running."""
        return read_memory_bytes(pid) if (pid := self.pid) else 0

    def url(self, namespace: str) -> str:
        """Create a namespace unless it exists, and return its URL for settings."""
        return self.engine.url(self.location, namespace)

    def start(self, limit_s: float = START_S) -> Self:
        """Start it and wait until it is ready. Idempotent. Raises EngineMissing, EngineFailed."""
        with (self.location.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.pid and not self.is_ready:  # a deployment may have started it
                self.engine.source.check()
                self.engine.prepare(self.location)
                self._spawn()
            self._wait_until_ready(limit_s)
        return self

    def stop(self) -> None:
        """Stop it, by force if it does not end in time. Idempotent."""
        if pid := self.pid:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            _wait_for_end(pid)
        self.kill()
        self._record.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            _wait_for_end(pid)
        if self._lifeline is not None:
            self._lifeline.close()

    def pause(self) -> None:
        """Suspend it: its connections stay open and it does not answer."""
        self._signal(signal.SIGSTOP)
        while _has_running_thread(self.pid):  # the signal stops its threads one by one
            time.sleep(POLL_S / 10)

    def resume(self) -> None:
        """Continue after a pause."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()  # quicker than stop, and acknowledged data is on disk

    def _spawn(self) -> None:
        command = self.engine.command(self.location)
        environment = {**os.environ, **self.engine.environment(self.location)}
        with contextlib.ExitStack() as stack:
            inherited = []
            if self._tied:
                self._lifeline, theirs = socket.socketpair()
                inherited = [stack.enter_context(theirs).fileno()]
                command = [sys.executable, "-m", "matinee.app.guard", *command]
                environment[LIFELINE] = str(theirs.fileno())
            output = stack.enter_context(self._log.open("ab"))
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=self.location.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                start_new_session=True,
            )
        record = ProcessRecord(pid=process.pid, born=read_start_time(process.pid))
        threading.Thread(target=process.wait, daemon=True).start()  # or it would stay a zombie when it has ended
        self._record.write_bytes(msgspec.json.encode(record))

    def _wait_until_ready(self, limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while not self.is_ready:
            if not self.pid or time.monotonic() > deadline_s:
                self.kill()
                raise EngineFailed(engine=self.name, detail=f"{self.name} did not start: {self._tail_log()}")
            time.sleep(POLL_S)

    def _tail_log(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return " / ".join(lines[-3:])[-600:] or "its log is empty"

    def _signal(self, number: signal.Signals) -> None:
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return read_start_time(pid) != ""


def read_start_time(pid: int) -> str:
    """Return the start time of a process in the format of its system, or an empty string if it does not run."""
    if not Path("/proc/self").exists():
        return "" if _ask_ps(pid, "stat").startswith("Z") else _ask_ps(pid, "lstart")
    fields = _read_stat(Path(f"/proc/{pid}"))
    return "" if fields[0] in "XZ" else fields[19]


def read_memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return int(_ask_ps(pid, "rss") or 0) * 1024


def _wait_for_end(pid: int) -> None:
    deadline_s = time.monotonic() + STOP_S
    while is_alive(pid) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)


def _has_running_thread(pid: int) -> bool:
    """Tell whether a thread of a process is neither stopped nor ended; unknown without /proc."""
    return any(_read_stat(folder)[0] not in "TtXZ" for folder in Path(f"/proc/{pid}/task").glob("*"))


def _read_stat(folder: Path) -> list[str]:
    """Return the fields of a process or thread in /proc from its state on; Z, as of a zombie, if it has ended."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["Z"]


def _ask_ps(pid: int, column: str) -> str:
    """Return a value of a process, or an empty string if it does not run."""
    return subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
