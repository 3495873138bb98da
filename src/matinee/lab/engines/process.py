"""The process of an engine: started, stopped, killed and paused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from matinee.app.guard import LIFELINE
from matinee.lab.engines.engine import Engine, EngineFailed, EngineLocation, open_location

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
        self.location: EngineLocation = open_location(engine, folder)
        self._tied = tied
        self._lifeline: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def pid(self) -> int:
        """Its process id; 0 if it is not running."""
        file = self.location.folder / "process.json"
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            record = msgspec.json.decode(file.read_bytes(), type=ProcessRecord)
            if read_start_time(record.pid) == record.born:
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
        with self._lock():
            if not self.pid and not self.is_ready:  # a deployment may have started it
                self.engine.check()
                self.engine.prepare(self.location)
                self._spawn()
            self._wait_until_ready(limit_s)
        return self

    def stop(self) -> None:
        """Stop it, by force if it does not end in time. Idempotent."""
        if pid := self.pid:
            self._signal(pid, signal.SIGCONT)
            self._signal(pid, signal.SIGTERM)
            self._wait_for_end(pid, STOP_S)
        self.kill()
        (self.location.folder / "process.json").unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._wait_for_end(pid, STOP_S)
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None

    def pause(self) -> None:
        """Suspend it: its connections stay open and it does not answer."""
        self._signal(self.pid, signal.SIGSTOP)
        while _is_running(self.pid):  # the signal stops its threads one by one
            time.sleep(POLL_S / 10)

    def resume(self) -> None:
        """Continue after a pause."""
        self._signal(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()  # quicker than stop, and acknowledged data is on disk

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair() if self._tied else (None, None)
        guard = [sys.executable, "-m", "matinee.app.guard"] if theirs is not None else []
        variables = {LIFELINE: str(theirs.fileno())} if theirs is not None else {}
        with self.location.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *self.engine.command(self.location)],
                env={**os.environ, **self.engine.environment(self.location), **variables},
                cwd=self.location.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()] if theirs is not None else [],
                start_new_session=True,
            )
        if theirs is not None:
            theirs.close()
        self._lifeline = ours
        record = ProcessRecord(pid=self._process.pid, born=read_start_time(self._process.pid))
        (self.location.folder / "process.json").write_bytes(msgspec.json.encode(record))

    def _wait_until_ready(self, limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while not self.is_ready:
            if self._process is not None:
                self._process.poll()  # or it would stay a zombie
            if not self.pid or time.monotonic() > deadline_s:
                tail = self.tail_log()
                self.kill()
                raise EngineFailed(engine=self.name, detail=f"{self.name} did not start: {tail}")
            time.sleep(POLL_S)

    def tail_log(self) -> str:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            lines = self.location.log.read_text(errors="replace").strip().splitlines()
            return " / ".join(lines[-3:])[-600:] if lines else "its log is empty"
        return "its log is empty"

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_for_end(self, pid: int, limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while is_alive(pid) and time.monotonic() < deadline_s:
            if self._process is not None and self._process.pid == pid:
                self._process.poll()
            time.sleep(POLL_S)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Exclude other processes that use this folder."""
        with (self.location.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return _exists(pid) and not Path("/proc").is_dir()


def _is_running(pid: int) -> bool:
    """Tell whether a thread of a process is neither stopped nor ended; unknown without /proc."""
    states = []
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # the thread has ended
            states.append(file.read_text().rpartition(")")[2].split()[0])
    return any(state not in "TtXZ" for state in states)


def read_start_time(pid: int) -> str:
    """Return the start time of a process in the format of its system, or an empty string if it does not run."""
    if not is_alive(pid):
        return ""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        output = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return output.stdout.strip()


def read_memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(output.stdout.strip() or 0) * 1024


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
