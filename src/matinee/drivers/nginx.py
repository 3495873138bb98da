"""nginx: its binary and modules where Debian puts them, the process that runs a configuration.

Its master is told to end (SIGTERM, which takes its workers along) when the thread that started it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from matinee.drivers.engine import EngineUnavailable
from matinee.kit.problem import Problem

_PLACES = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"))
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
JS_MODULE = "ngx_http_js_module.so"
START_S = 10.0
STOP_S = 10.0
LOOK_S = 0.02


class NginxMissing(Problem, status=500):
    """nginx, or a module of it, is not on this machine."""


def binary() -> str:
    """Where nginx is. Raises NginxMissing."""
    path = shutil.which("nginx") or shutil.which("nginx", path=_PLACES)
    if path is None:
        raise NginxMissing(detail="There is no nginx here: apt install nginx-light libnginx-mod-http-js")
    return path


def module(name: str) -> Path:
    """Where a dynamic module is. Raises NginxMissing."""
    for folder in MODULES:
        if (path := Path(folder, name)).exists():
            return path
    raise NginxMissing(detail=f"nginx has no module {name} here: apt install libnginx-mod-http-js")


class Nginx:
    """A running nginx. `folder` holds its configuration (`nginx.conf`), its pid file and its error log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens. Raises NginxMissing, and EngineUnavailable with its own words."""
        self._end_stale()
        self._process = await asyncio.create_subprocess_exec(
            *_dying_with_parent(), binary(), "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while self._process.returncode is None and not self._pid_file.exists():  # noqa: ASYNC110  # another's file
                    await asyncio.sleep(LOOK_S)
        if self._process.returncode is not None or not self._pid_file.exists():
            await self.stop()
            raise EngineUnavailable(engine="nginx", detail=f"nginx did not start: {self._last_words()}")

    async def ended(self) -> int:
        """Wait for its end; tells its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, grace_s: float = STOP_S) -> None:
        """Let answers end for at most `grace_s`, then end it. Idempotent."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.send_signal(signal.SIGQUIT)
            await asyncio.wait_for(process.wait(), max(grace_s, LOOK_S))
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()

    def pids(self) -> list[int]:
        """The master and its workers, where this system tells (`/proc`)."""
        if self._process is None or self._process.returncode is not None:
            return []
        master = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
            return [master, *map(int, children)]
        return [master]

    @property
    def _pid_file(self) -> Path:
        return self._folder / "nginx.pid"

    def _end_stale(self) -> None:
        """End what an earlier life of ours has left behind on these ports."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if b"nginx" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)
        self._pid_file.unlink(missing_ok=True)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / "error.log").read_text(errors="replace").strip().splitlines()
            return lines[-1][-400:] if lines else "it said nothing"
        return "it said nothing"


def _dying_with_parent() -> list[str]:
    if sys.platform == "linux" and (setpriv := shutil.which("setpriv")):
        return [setpriv, "--pdeathsig", "TERM", "--"]
    return []
