"""A whole deployment for a trial: `matinee up` as a user starts it, on free ports and a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio_ffmpeg

STARTED = "Ctrl-C stops it"
STOP_S = 30
# Beside those of `lab.engines`.
PORTS = (30_000, 32_700)
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


class Deployment:
    """A `matinee up` without the demo. `settings` are `MATINEE__…` variables; `groups` is `deployment.groups`."""

    def __init__(self, data: Path, *, groups: str = "", settings: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port, self.edge_port = free_port(), free_port(span=2)
        self.url = f"http://127.0.0.1:{self.port}"
        said = {
            "MATINEE__DEPLOYMENT__DATA": str(data),
            "COLUMNS": "200",
            **({"MATINEE__DEPLOYMENT__GROUPS": groups} if groups else {}),
        }
        self._environment = {**os.environ, **(settings or {}), **said}
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str, limit_s: float = 120) -> None:
        """Start it and wait until it says that it is up. Raises RuntimeError with all that was said and logged."""
        ports = ["--port", str(self.port), "--edge-port", str(self.edge_port)]
        self.data.mkdir(parents=True, exist_ok=True)
        out = self.data / "up.out"
        with out.open("w") as output:
            command = [sys.executable, "-m", "matinee", "up", *ports, "--no-demo", *options]
            self._process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output, text=True)
        end = time.monotonic() + limit_s
        while STARTED not in out.read_text():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"up is not up: {out.read_text()}\n{self.last_words()}")
            time.sleep(0.1)

    def stop(self) -> int:
        """Ctrl-C; tells its exit status. Raises subprocess.TimeoutExpired, after killing it, when it will not stop."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def matinee(self, *words: str, limit_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command on this deployment."""
        return subprocess.run(
            [sys.executable, "-m", "matinee", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def ingest(self, file: Path, name: str, *words: str) -> dict[str, Any]:
        """Ingest a film, wait until it can be played, and tell its title. Raises RuntimeError."""
        done = self.matinee("ingest", str(file), "--title", name, *words)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return next(title for title in self.titles() if name in title["names"].values())

    def titles(self) -> list[dict[str, Any]]:
        """What `matinee titles list` shows."""
        found: list[dict[str, Any]] = json.loads(self.matinee("titles", "list", "--json").stdout)
        return found

    def processes(self) -> dict[str, dict[str, Any]]:
        """The supervisor's record: a process by its name."""
        return {seen["name"]: seen for seen in json.loads((self.data / "run" / "processes.json").read_bytes())}

    def last_words(self) -> str:
        """The ends of the logs."""
        logs = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def free_port(span: int = 1) -> int:
    """A port that is free now, with its neighbours; below those that the system gives to clients.

    So it is free again, too, when a deployment that was stopped comes back to it.
    """
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            first = random.randrange(*PORTS)  # noqa: S311  # any will do
            for number in range(span):
                held.enter_context(socket.socket()).bind(("127.0.0.1", first + number))
            return first


def film(path: Path, *, seconds: float = 12, size: str = "640x360", rate: str = "24", audio: bool = True) -> Path:
    """A short film with a picture that moves and, unless told otherwise, a tone."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    sound = ["-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}", "-c:a", "aac"] if audio else []
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *picture, *sound, *codec, f"file:{path}"]
    subprocess.run(command, check=True)
    return path
