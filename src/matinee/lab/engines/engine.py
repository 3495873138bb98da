"""The interface of an engine, and where one runs."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

from matinee.kit.problem import Problem

LOOPBACK = "127.0.0.1"


class EngineMissing(Problem, status=501):
    """An engine is not available on this machine."""

    engine: str


class EngineFailed(Problem, status=500):
    """An engine did not start."""

    engine: str


class EngineLocation(msgspec.Struct, kw_only=True):
    """Where an engine runs: its folder, its ports by purpose, and its password.

    It is stored in the folder, so that later starts use the same ports and data.
    """

    folder: Path
    ports: dict[str, int]
    secret: str = ""
    host: str = LOOPBACK

    @property
    def data(self) -> Path:
        """The data directory of the engine."""
        return self.folder / "data"

    @property
    def port(self) -> int:
        """The port for clients."""
        return self.ports["client"]

    @property
    def client(self) -> str:
        """The address for clients."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """The file of its output."""
        return self.folder / "log"


class Engine(Protocol):
    """A kind of engine. It has no state: paths and ports are in the `EngineLocation`."""

    @property
    def name(self) -> str:
        """Its name in commands and files."""

    @property
    def ports(self) -> tuple[str, ...]:
        """The purposes of its ports, `client` first."""

    def check(self) -> None:
        """Check that it can be started. Raises EngineMissing, with what to do."""

    def prepare(self, location: EngineLocation) -> None:
        """Write its configuration and create its data directory. Idempotent: existing data is kept."""

    def command(self, location: EngineLocation) -> list[str]:
        """Return the command that runs it in the foreground."""

    def environment(self, location: EngineLocation) -> dict[str, str]:
        """Return its environment variables."""

    def is_ready(self, location: EngineLocation) -> bool:
        """Tell whether it answers a request; an open port is not enough."""

    def version(self) -> str:
        """Return the version that would be started. Raises EngineMissing."""

    def address(self, location: EngineLocation) -> str:
        """Return its URL without a namespace, including the password if it has one."""

    def url(self, location: EngineLocation, namespace: str) -> str:
        """Create a namespace (database, keyspace, bucket, prefix) unless it exists; return its URL for settings."""


def open_location(
    engine: Engine, folder: Path, *, host: str = LOOPBACK, ports: dict[str, int] | None = None
) -> EngineLocation:
    """Return the location stored in a folder, or create it with the given ports and free ones for the rest."""
    file = folder / "place.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        chosen = free_ports(engine.ports) | (ports or {})
        location = EngineLocation(folder=folder.absolute(), ports=chosen, secret=secrets.token_urlsafe(18), host=host)
        _store(file, msgspec.json.encode(location, enc_hook=str))
    stored = msgspec.json.decode(file.read_bytes(), type=EngineLocation, dec_hook=lambda kind, path: kind(path))
    return msgspec.structs.replace(stored, folder=folder.absolute())  # it may have been moved


def free_ports(names: tuple[str, ...], hosts: tuple[str, ...] = (LOOPBACK,)) -> dict[str, int]:
    """Return a port for each name that is free at all these addresses.

    Random, so that concurrent callers rarely choose the same one; below the ports that systems give to clients, so that
    a client does not take it while its engine is stopped.
    """
    chosen: dict[str, int] = {}
    rng = random.SystemRandom()
    while len(chosen) < len(names):
        port = rng.randrange(15_000, 30_000)
        if port not in chosen.values() and all(_is_free(host, port) for host in hosts):
            chosen[names[len(chosen)]] = port
    return chosen


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _store(file: Path, content: bytes) -> None:
    """Create a file, readable by its owner only, atomically; keep the one that another process has created first."""
    handle, part = tempfile.mkstemp(dir=file.parent)  # with mode 0600
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    with contextlib.suppress(FileExistsError):
        os.link(part, file)
    Path(part).unlink()
