"""nginx: its binary and modules as Debian installs them, and the process that runs a configuration.

On Linux the kernel ends the master (by SIGTERM, upon which it ends its workers) when the thread that started it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL
from pathlib import Path

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.process import die_with_parent
from matinee.kit.problem import Problem

_SEARCH_PATH = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"))
MODULE_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
JS_MODULE = "ngx_http_js_module.so"
START_S = 10.0
STOP_S = 10.0
_POLL_S = 0.02


class NginxMissing(Problem, status=500):
    """nginx or one of its modules is not installed."""


def find_binary() -> str:
    """Return the path of nginx. Raises NginxMissing."""
    path = shutil.which("nginx") or shutil.which("nginx", path=_SEARCH_PATH)
    if path is None:
        raise NginxMissing(detail="nginx is not installed: apt install nginx-light libnginx-mod-http-js")
    return path


def find_module(name: str) -> Path:
    """Return the path of a dynamic module. Raises NginxMissing."""
    for folder in MODULE_FOLDERS:
        if (path := Path(folder, name)).exists():
            return path
    raise NginxMissing(detail=f"The nginx module {name} is not installed: apt install libnginx-mod-http-js")


class Nginx:
    """An nginx process. `folder` has its configuration (`nginx.conf`), its pid file and its error log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start nginx and wait until it listens. Raises NginxMissing; EngineUnavailable with the log's last line."""
        await self._end_stale()
        self._process = await asyncio.create_subprocess_exec(
            *die_with_parent("TERM"), find_binary(), "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log",
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while self._process.returncode is None and not self._read_pid():  # noqa: ASYNC110  # nginx writes it
                    await asyncio.sleep(_POLL_S)
        if self._process.returncode is not None or not self._read_pid():
            await self.stop()
            raise EngineUnavailable(engine="nginx", detail=f"nginx did not start: {self._read_last_error()}")

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, grace_s: float = STOP_S) -> None:
        """End the process; requests in progress may take `grace_s`. Idempotent."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            process.send_signal(signal.SIGQUIT)
            await asyncio.wait_for(process.wait(), max(grace_s, _POLL_S))
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()

    def list_pids(self) -> list[int]:
        """Return the process ids of the master and, where the system has `/proc`, of its workers."""
        if self._process is None or self._process.returncode is not None:
            return []
        master = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
            return [master, *map(int, children)]
        return [master]

    def _read_pid(self) -> int:
        """Return the pid that the master writes once it listens; 0 until then."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / "nginx.pid").read_text())
        return 0

    async def _end_stale(self) -> None:
        """End an nginx that a former process left running on this folder, so that it takes no more requests."""
        if (pid := self._read_pid()) and _is_nginx(pid):
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                os.kill(pid, signal.SIGTERM)
                async with asyncio.timeout(STOP_S):
                    while _is_nginx(pid):  # noqa: ASYNC110  # not our child
                        await asyncio.sleep(_POLL_S)
        (self._folder / "nginx.pid").unlink(missing_ok=True)

    def _read_last_error(self) -> str:
        with contextlib.suppress(OSError):
            if lines := (self._folder / "error.log").read_text(errors="replace").strip().splitlines():
                return lines[-1][-400:]
        return "its log is empty"


def _is_nginx(pid: int) -> bool:
    """Whether a process is a running nginx. The command line of one that has ended is empty until it is reaped."""
    with contextlib.suppress(OSError):
        return b"nginx" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
