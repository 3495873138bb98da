"""A whole house, started as a user starts it: `matinee up` on free ports and a data directory of its own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import imageio_ffmpeg

CHROMIUM_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
ABSENT = os.environ.get("MATINEE_ENGINES_ABSENT", "").split(",")
PASSWORD = "correct horse battery"
STARTED = "Ctrl-C stops it"


class House:
    """A running `matinee up`."""

    def __init__(self, data: Path, *, groups: str = "", settings: dict[str, str] | None = None) -> None:
        self.data = data
        self.port, self.edge_port = free_port(), free_port(span=2)
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, **(settings or {}), "MATINEE__HOUSE__DATA": str(data), "COLUMNS": "200"}
        if groups:
            self._environment["MATINEE__HOUSE__GROUPS"] = groups
        self._process: subprocess.Popen[str] | None = None

    def start(self, *options: str, limit_s: float = 90) -> None:
        """Start it and wait until it says so."""
        words = [sys.executable, "-m", "matinee", "up", "--port", str(self.port), "--edge-port", str(self.edge_port)]
        out = self.data / "up.out"
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w") as output:
            self._process = subprocess.Popen(
                [*words, "--no-demo", *options], env=self._environment, stdout=output, stderr=output, text=True
            )
        end = time.monotonic() + limit_s
        while STARTED not in out.read_text():
            assert self._process.poll() is None, f"up ended: {out.read_text()}\n{self.last_words()}"
            assert time.monotonic() < end, f"up is not up: {out.read_text()}\n{self.last_words()}"
            time.sleep(0.1)

    def stop(self) -> int:
        """Ctrl-C, and its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def matinee(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on this house."""
        return subprocess.run(
            [sys.executable, "-m", "matinee", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def ingest(self, file: Path, name: str, *words: str) -> dict[str, Any]:
        """Ingest a film, wait until it can be played, and tell its title."""
        done = self.matinee("ingest", str(file), "--title", name, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return next(title for title in self.titles() if name in title["names"].values())

    def titles(self) -> list[dict[str, Any]]:
        """What `matinee titles list` shows."""
        found: list[dict[str, Any]] = json.loads(self.matinee("titles", "list", "--json").stdout)
        return found

    def processes(self) -> dict[str, dict[str, Any]]:
        """The supervisor's record: a process by its name."""
        return {seen["name"]: seen for seen in json.loads((self.data / "run" / "processes.json").read_bytes())}

    def last_words(self) -> str:
        """The ends of the logs, for a failing test."""
        return "\n".join(
            f"== {log.name}\n{log.read_text()[-1500:]}" for log in sorted((self.data / "logs").glob("*.log"))
        )


class Viewer:
    """Somebody with a device, at the public API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, f"{url}/api/v1"
        self.headers: dict[str, str] = {}
        self.profile_id = ""

    async def call(self, method: str, path: str, body: Any = None, *, status: int | None = None, **rest: Any) -> Any:
        """One call; asserts the status (2xx unless told)."""
        headers = {**self.headers, **rest.pop("headers", {})}
        async with self.session.request(method, self.url + path, json=body, headers=headers, **rest) as answer:
            text = await answer.text()
            assert answer.status == status if status else answer.ok, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text and "json" in answer.content_type else text

    async def sign_up(self, email: str) -> None:
        """Open an account and choose its first profile."""
        body = {"email": email, "password": PASSWORD, "name": "Ada", "device": {"name": "test"}, "language": "en"}
        self._signed_in(await self.call("POST", "/auth/sign-up", body))
        self.profile_id = (await self.call("GET", "/profiles"))[0]["profile_id"]
        await self.choose(self.profile_id)

    async def choose(self, profile_id: str) -> None:
        """Watch as a profile."""
        self._signed_in(await self.call("POST", f"/profiles/{profile_id}/choose", {}))
        self.profile_id = profile_id

    def _signed_in(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


def free_port(span: int = 1) -> int:
    """A port that is free now, with its neighbours."""
    while True:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            for number in range(1, span):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + number))
            return port


def film(path: Path, *, seconds: float = 12, size: str = "640x360", rate: str = "24", audio: bool = True) -> Path:
    """A short film with a picture that moves and a tone."""
    sound = ["-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}"] if audio else []
    command = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}", *sound]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *(["-c:a", "aac"] if audio else [])]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *command, *codecs, f"file:{path}"], check=True
    )
    return path


async def eventually(true: Callable[[], Any], limit_s: float = 30) -> Any:
    """Wait until something is true (it may be a coroutine function), and tell what it was."""
    end = time.monotonic() + limit_s
    while True:
        found = true()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.1)
