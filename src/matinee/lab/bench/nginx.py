"""nginx that serves a folder, as a baseline."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matinee.lab.deployment import find_free_port

START_S = 10


class ServerProcess(NamedTuple):
    """A running server."""

    pid: int
    port: int


def is_available() -> bool:
    """Tell whether nginx is installed."""
    return shutil.which("nginx") is not None


@contextlib.contextmanager
def serve(root: Path, work: Path) -> Iterator[ServerProcess]:
    """Serve a folder on a free port of loopback. Raises TimeoutError."""
    work.mkdir(exist_ok=True)
    port, config = find_free_port(), work / "nginx.conf"
    config.write_text(_config(root, work, port))
    process = subprocess.Popen(["nginx", "-p", str(work), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(work / "nginx.pid")
        yield ServerProcess(process.pid, port)
    finally:
        process.terminate()
        process.wait(START_S)


def _config(root: Path, work: Path, port: int) -> str:
    temporary = " ".join(
        f"{kind}_temp_path {work}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  {temporary} access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ text/html html; application/javascript js; video/mp4 mp4 m4s; application/dash+xml mpd; text/vtt vtt; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def _wait_for(pid_file: Path) -> None:
    end = time.monotonic() + START_S
    while not pid_file.exists():
        if time.monotonic() > end:
            raise TimeoutError("nginx did not start")
        time.sleep(0.05)
