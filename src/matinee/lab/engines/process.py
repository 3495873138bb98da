"""An engine that was started: its process, and what may befall it."""

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
LOOK_S = 0.05


class ProcessRecord(msgspec.Struct, kw_only=True):
    """The process of an engine; `born` tells it from a later one of the same number."""

    pid: int
    born: str


class EngineProcess:
    """An engine in a folder. `tied`: it ends with this process, whatever becomes of it; else it stays until `stop`.

    Several processes may hold the same folder: whoever starts first starts it, the others find it running.
    """

    def __init__(self, engine: Engine, folder: Path, *, tied: bool = True) -> None:
        self.engine = engine
        self.location: EngineLocation = open_location(engine, folder)
        self._tied = tied
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.engine.name

    @property
    def pid(self) -> int:
        """Its process; 0 when it is not running."""
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
        """What it holds in memory; 0 when it is not running."""
        return memory_bytes(pid) if (pid := self.pid) else 0

    def url(self, namespace: str) -> str:
        """The settings' URL of a namespace, which is made where it is not there."""
        return self.engine.url(self.location, namespace)

    def start(self, limit_s: float = START_S) -> Self:
        """Start it and wait until it answers. Idempotent. Raises EngineMissing, EngineFailed with its last words."""
        with self._held():
            if not self.pid and not self.is_ready:  # it may run without a record of ours: a deployment has started it
                self.engine.check()
                self.engine.prepare(self.location)
                self._spawn()
            self._await(limit_s)
        return self

    def stop(self) -> None:
        """Ask it to end, and see to it that it does. Idempotent."""
        if pid := self.pid:
            self._signal(pid, signal.SIGCONT)
            self._signal(pid, signal.SIGTERM)
            self._gone(pid, STOP_S)
        self.kill()
        (self.location.folder / "process.json").unlink(missing_ok=True)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._gone(pid, STOP_S)
        if self._line is not None:
            self._line.close()
            self._line = None

    def pause(self) -> None:
        """Let it hang: it holds its connections and answers nothing."""
        self._signal(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()  # in a moment, and what was acknowledged is on disk

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair() if self._tied else (None, None)
        guard = [sys.executable, "-m", "matinee.app.guard"] if theirs is not None else []
        line = {LIFELINE: str(theirs.fileno())} if theirs is not None else {}
        with self.location.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *self.engine.command(self.location)],
                env={**os.environ, **self.engine.environment(self.location), **line},
                cwd=self.location.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()] if theirs is not None else [],
                start_new_session=True,
            )
        if theirs is not None:
            theirs.close()
        self._line = ours
        record = ProcessRecord(pid=self._process.pid, born=read_start_time(self._process.pid))
        (self.location.folder / "process.json").write_bytes(msgspec.json.encode(record))

    def _await(self, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not self.is_ready:
            if self._process is not None:
                self._process.poll()  # or it would stay among the processes after its end
            if not self.pid or time.monotonic() > end:
                words = self.tail_log()
                self.kill()
                raise EngineFailed(engine=self.name, detail=f"{self.name} did not start: {words}")
            time.sleep(LOOK_S)

    def tail_log(self) -> str:
        """The end of what it said."""
        with contextlib.suppress(OSError):
            lines = self.location.log.read_text(errors="replace").strip().splitlines()
            return " / ".join(lines[-3:])[-600:] if lines else "it said nothing"
        return "it said nothing"

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _gone(self, pid: int, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while is_alive(pid) and time.monotonic() < end:
            if self._process is not None and self._process.pid == pid:
                self._process.poll()
            time.sleep(LOOK_S)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One at a time among all processes that hold this folder."""
        with (self.location.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return _exists(pid) and not Path("/proc").is_dir()


def read_start_time(pid: int) -> str:
    """When a process began, in its system's own words; empty for one that does not run."""
    if not is_alive(pid):
        return ""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return told.stdout.strip()


def memory_bytes(pid: int) -> int:
    """A process's resident memory."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(told.stdout.strip() or 0) * 1024


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
