"""nginx over a folder, as a baseline."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from matinee.lab.deployment import free_port

START_S = 10


def available() -> bool:
    """Whether there is an nginx here."""
    return shutil.which("nginx") is not None


@contextlib.contextmanager
def serving(root: Path, work: Path) -> Iterator[str]:
    """Serve a folder on a free port of loopback; tells the address. Raises TimeoutError."""
    port, config = free_port(), work / "nginx.conf"
    config.write_text(_config(root, work, port))
    process = subprocess.Popen(["nginx", "-p", str(work), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait(work / "nginx.pid")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START_S)


def _config(root: Path, work: Path, port: int) -> str:
    temporary = " ".join(
        f"{kind}_temp_path {work}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 512; }}
http {{
  {temporary} access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  types {{ text/html html; application/javascript js; video/mp4 mp4 m4s; application/dash+xml mpd; text/vtt vtt; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def _wait(pid_file: Path) -> None:
    end = time.monotonic() + START_S
    while not pid_file.exists():
        if time.monotonic() > end:
            raise TimeoutError("nginx did not start")
        time.sleep(0.05)
