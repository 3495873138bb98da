"""Start processes, watch them, bring back the dead, stop them all; leave nothing behind.

Each process gets a process group of its own, swept when it ends, so that no encoder outlives its worker, and one
end of a socket pair (its *lifeline*): what it writes there says that it is ready and where; when the supervisor
dies the other end closes, and the process stops by itself. A program that knows no lifeline gets a guard for that.
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
STOP_S = 10.0
BACKOFF_S = (0.1, 10.0)
STEADY_S = 30.0
LOOK_S = 5.0
DEAF_LOOKS = 3
ENDS_BEFORE_READY = 5
LOG_LIMIT_BYTES = 16 << 20

_log = log.get()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running. `once` ends by itself; `lifeline` says when it is ready; else it is when started."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    once: bool = False
    lifeline: bool = True


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a process writes on its lifeline, a line each time something changes: all there is to know of it.

    `ready` with the address where its health can be asked, or what it waits for; and how its engines are.
    """

    ready: bool = False
    health_url: str = ""
    waiting: str = ""
    engines: tuple[EngineState, ...] = ()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A process as `matinee status` tells it: `waiting` says for what, `engines` how those are that it uses."""

    name: str
    state: State
    pid: int
    restarts: int
    health_url: str = ""
    waiting: str = ""
    engines: tuple[EngineState, ...] = ()


class Supervisor:
    """Keeps programs running. `record` is a file that always holds the present state, for `matinee status`.

    `waits` is called with each new reason for which a program has to wait at its start.
    """

    def __init__(self, *, logs: Path, record: Path, waits: Callable[[Seen], None] | None = None) -> None:
        self._logs = logs
        self._record = record
        self._waits = waits or (lambda seen: None)
        self._kept: dict[str, _Kept] = {}
        logs.mkdir(parents=True, exist_ok=True)
        record.parent.mkdir(parents=True, exist_ok=True)

    async def start(self, program: Program, ready_s: float = 60.0) -> None:
        """Start a program and wait until it is ready, for as long as it says that it waits for an engine.

        Raises RuntimeError, with its last words, when it will not, or ends again and again before it is.
        """
        kept = _Kept(program, self._logs / f"{program.name}.log", self._write_record, self._waits)
        self._kept[program.name] = kept
        keeping = kept.watch()
        tried = asyncio.create_task(kept.tried.wait())
        while not (await asyncio.wait([keeping, tried], timeout=ready_s, return_when=asyncio.FIRST_COMPLETED))[0]:
            if not kept.seen().waiting:
                break
        tried.cancel()
        if keeping.done():
            keeping.result()
        if not kept.is_ready:
            raise RuntimeError(f"{program.name} did not get ready: {kept.last_words()}")

    def seen(self) -> list[Seen]:
        """Every process as it stands."""
        return [kept.seen() for kept in self._kept.values()]

    async def stop(self) -> None:
        """Stop everything, last started first."""
        for kept in reversed(self._kept.values()):
            await kept.stop()
        self._record.unlink(missing_ok=True)

    def _write_record(self) -> None:
        fresh = self._record.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self.seen()))
            fresh.replace(self._record)
        except OSError as error:  # a full disk may make the record old, but must not end the watch
            _log.warning("record.not_written", error=repr(error))


class _Kept:
    """One program and the process that runs it now."""

    def __init__(
        self, program: Program, log_path: Path, changed: Callable[[], None], waits: Callable[[Seen], None]
    ) -> None:
        self.program = program
        self.is_ready = False
        self.tried = asyncio.Event()  # it was ready once, or ended so often before that it will not be
        self._log_path = log_path
        self._changed = changed
        self._waits = waits
        self._state: State = "starting"
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._told = Told()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> asyncio.Task[None]:
        """Keep it running from now on."""
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.program.name}")
        return self._task

    def seen(self) -> Seen:
        return Seen(
            name=self.program.name,
            state=self._state,
            pid=self._process.pid if self._process else 0,
            restarts=self._restarts,
            health_url=self._told.health_url,
            waiting=self._told.waiting,
            engines=self._told.engines,
        )

    async def stop(self) -> None:
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                _sweep(process.pid)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set("stopped")

    def last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log_path.read_text(errors="replace").strip().splitlines()
            return lines[-1][:400] if lines else "it said nothing"
        return "it said nothing"

    async def _keep(self) -> None:
        pause_s = BACKOFF_S[0]
        while not self._stopping:
            started = time.monotonic()
            code = await self._run_once()
            if self.program.once and code == 0:
                self._set("finished")
                return
            if self._stopping:
                return
            lived_s = time.monotonic() - started
            pause_s = BACKOFF_S[0] if lived_s > STEADY_S else min(pause_s * 2, BACKOFF_S[1])
            _log.warning("process.ended", name=self.program.name, exit_status=code, lived_s=round(lived_s, 1))
            self._restarts += 1
            if self._restarts == ENDS_BEFORE_READY:
                self.tried.set()
            self._set("restarting")
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        with self._log_file() as output:
            process = await asyncio.create_subprocess_exec(
                *self._command(),
                env={**os.environ, **self.program.environment, LIFELINE: str(theirs.fileno())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        theirs.close()
        self._process = process
        self._set("starting" if self._restarts == 0 else "restarting")
        watcher = asyncio.create_task(self._look_after(ours, process))
        try:
            return await process.wait()
        finally:
            watcher.cancel()
            ours.close()
            _sweep(process.pid)

    def _command(self) -> Sequence[str]:
        if self.program.lifeline:
            return self.program.command
        return [sys.executable, "-m", "matinee.app.guard", *self.program.command]

    async def _look_after(self, lifeline: socket.socket, process: asyncio.subprocess.Process) -> None:
        listening = asyncio.create_task(self._listen(lifeline))
        try:
            await self._watch_over(process)
        finally:
            listening.cancel()

    async def _listen(self, lifeline: socket.socket) -> None:
        """Take every word of a process; one that knows no lifeline runs as soon as it was started."""
        if not self.program.lifeline:
            self._hear(Told(ready=True))
            return
        lifeline.setblocking(False)
        rest = b""
        with contextlib.suppress(OSError):  # it ends with the process
            while words := await asyncio.get_running_loop().sock_recv(lifeline, 1 << 16):
                *lines, rest = (rest + words).split(b"\n")
                for line in lines:
                    self._hear(msgspec.json.decode(line, type=Told))

    def _hear(self, told: Told) -> None:
        news = told.waiting and told.waiting != self._told.waiting
        self._told = told
        self._state = "running" if told.ready else "waiting" if told.waiting else self._state
        if told.ready:
            self.is_ready = True
            self.tried.set()
        self._changed()
        if news:
            self._waits(self.seen())

    async def _watch_over(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process that no longer answers."""
        deaf = 0
        while deaf < DEAF_LOOKS:
            await asyncio.sleep(LOOK_S)
            url = self._told.health_url
            deaf = 0 if not url or await _answers(url) else deaf + 1
        _log.warning("process.deaf", name=self.program.name, pid=process.pid)
        _sweep(process.pid)

    def _log_file(self) -> BinaryIO:
        with contextlib.suppress(FileNotFoundError):
            if self._log_path.stat().st_size > LOG_LIMIT_BYTES:
                self._log_path.replace(self._log_path.with_suffix(".log.1"))
        return self._log_path.open("ab")

    def _set(self, state: State) -> None:
        self._state, self._told = state, Told()
        self._changed()


async def _answers(health_url: str) -> bool:
    """Whether a process still answers: any HTTP answer will do, a busy one counts as alive."""
    place = urlsplit(health_url)
    try:
        async with asyncio.timeout(LOOK_S):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(
                f"GET {place.path or '/'} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read(12)
            writer.close()
            return answer.startswith(b"HTTP/1.1")
    except (OSError, TimeoutError):
        return False


def _sweep(group: int) -> None:
    """Kill what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Lifeline:
    """A supervised process's end. Without a supervisor (run by hand) it does nothing."""

    def __init__(self) -> None:
        number = os.environ.pop(LIFELINE, "")
        self._socket = socket.socket(fileno=int(number)) if number else None

    def tell_ready(self, health_url: str, engines: tuple[EngineState, ...] = ()) -> None:
        """Say that this process is ready, and how its engines are."""
        self._tell(Told(ready=True, health_url=health_url, engines=engines))

    def tell_waiting(self, why: str) -> None:
        """Say what this process waits for before it can be ready."""
        self._tell(Told(waiting=why))

    def _tell(self, told: Told) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendall(msgspec.json.encode(told) + b"\n")

    async def broken(self) -> None:
        """Return when the supervisor is gone; never without one."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_recv(self._socket, 1)


async def until_told_to_stop(lifeline: Lifeline) -> None:
    """Wait for SIGINT, SIGTERM or the end of the supervisor."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    waiting = [asyncio.create_task(told.wait()), asyncio.create_task(lifeline.broken())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def python(*words: str) -> list[str]:
    """The command that runs `matinee <words>` with this very interpreter."""
    return [sys.executable, "-m", "matinee", *words]
