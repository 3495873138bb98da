"""A deployment for benchmarks and tests: `matinee up` on free ports with its own data directory."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from matinee.kit.problem import Problem

STARTED = "Ctrl-C stops it"
STOP_S = 120  # only a busy machine takes long
# Others than those of `lab.engines`.
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


class DeploymentFailed(Problem, status=500):
    """A deployment for a measurement did not start, or refused a film."""


class Deployment:
    """A `matinee up` without the demo, in which viewers may sign up.

    `settings` are `MATINEE__…` variables; `groups` is `deployment.groups`.
    """

    def __init__(self, data: Path, *, groups: str = "", settings: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port, self.edge_port = find_free_port(), find_free_port(span=2)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "MATINEE__IDENTITY__SIGN_UP": "open",
            **(settings or {}),
            "MATINEE__DEPLOYMENT__DATA": str(data),
            "COLUMNS": "200",
            **({"MATINEE__DEPLOYMENT__GROUPS": groups} if groups else {}),
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str, limit_s: float = 300) -> None:
        """Start it and wait until it is up. Raises DeploymentFailed, with the ends of its logs as a note."""
        ports = ["--port", str(self.port), "--edge-port", str(self.edge_port)]
        self.data.mkdir(parents=True, exist_ok=True)
        output = self.data / "up.out"
        with output.open("w") as file:
            command = [sys.executable, "-m", "matinee", "up", *ports, "--no-demo", *options]
            self._process = subprocess.Popen(command, env=self._environment, stdout=file, stderr=file, text=True)
        deadline_s = time.monotonic() + limit_s
        while STARTED not in output.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise self._failure(f"The deployment did not start: {output.read_text().strip()}")
            time.sleep(0.1)

    def stop(self) -> int:
        """Interrupt it and return its exit status. Raises TimeoutExpired, after killing it, if it does not stop."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def matinee(self, *arguments: str, limit_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command on this deployment."""
        return subprocess.run(
            [sys.executable, "-m", "matinee", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def ingest(self, file: Path, name: str, *options: str) -> str:
        """Ingest a film, wait until it can be played, and return its title's id. Raises DeploymentFailed."""
        result = self.matinee("ingest", str(file), "--again", "--title", name, *options)
        if result.returncode or not (title := re.search(r"\((tit_\w+)\)", result.stdout)):
            raise self._failure(f"The film was not ingested: {(result.stdout + result.stderr).strip()}")
        return title[1]

    def titles(self) -> list[dict[str, Any]]:
        """Return the titles of `matinee titles list`."""
        titles: list[dict[str, Any]] = json.loads(self.matinee("titles", "list", "--json").stdout)
        return titles

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return the supervisor's processes by their names."""
        processes = json.loads((self.data / "run" / "processes.json").read_bytes())
        return {process["name"]: process for process in processes}

    def _failure(self, detail: str) -> DeploymentFailed:
        failure = DeploymentFailed(detail=detail)
        failure.add_note(self.tail_logs())
        return failure

    def tail_logs(self) -> str:
        """Return the ends of its logs."""
        logs = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


@contextlib.contextmanager
def deploy_film(
    folder: Path, *options: str, limit_s: float = 300, size: str = "640x360", rate: str = "24", seconds: float
) -> Iterator[tuple[Deployment, str]]:
    """Run a deployment with one film and no limit of requests; yield it and the title's id. Raises DeploymentFailed."""
    limits = ("REQUESTS_PER_MINUTE", "SIGN_INS_PER_MINUTE")
    deployment = Deployment(folder / "data", settings={f"MATINEE__GATEWAY__{limit}": "1000000" for limit in limits})
    try:
        deployment.start(*options, limit_s=limit_s)
        film = make_film(folder / "film.mp4", seconds=seconds, size=size, rate=rate)
        yield deployment, deployment.ingest(film, "Film")
    finally:
        deployment.stop()


def find_free_port(span: int = 1) -> int:
    """Return the first of `span` neighbouring ports that are free.

    It lies below the ports that the system gives to clients, so that a restarted deployment finds it free again.
    """
    while True:
        with contextlib.ExitStack() as bound, contextlib.suppress(OSError):
            first = random.randrange(*PORTS)  # noqa: S311  # not a secret
            for number in range(span):
                bound.enter_context(socket.socket()).bind(("127.0.0.1", first + number))
            return first


def make_film(path: Path, *, seconds: float = 12, size: str = "640x360", rate: str = "24", audio: bool = True) -> Path:
    """Write a short film with a moving picture and, by default, a tone."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    sound = ["-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}", "-c:a", "aac"] if audio else []
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *picture, *sound, *codec, f"file:{path}"]
    subprocess.run(command, check=True)
    return path
