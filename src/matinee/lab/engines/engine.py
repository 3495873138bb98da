"""What there is to know of an engine to run it here."""

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
    """An engine cannot be had on this machine."""

    engine: str


class EngineFailed(Problem, status=500):
    """An engine did not start."""

    engine: str


class EngineLocation(msgspec.Struct, kw_only=True):
    """Where one engine runs: its folder, its ports by what they are for, and the secret that opens it.

    Kept in the folder, so that a second start finds the same ports and the same data.
    """

    folder: Path
    ports: dict[str, int]
    secret: str = ""
    host: str = LOOPBACK

    @property
    def data(self) -> Path:
        """The engine's own data directory."""
        return self.folder / "data"

    @property
    def port(self) -> int:
        """The port that clients speak to."""
        return self.ports["client"]

    @property
    def client(self) -> str:
        """The address that clients speak to."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self.folder / "log"


class Engine(Protocol):
    """One kind of engine. Paths and ports come with the `EngineLocation`; nothing here keeps state."""

    @property
    def name(self) -> str:
        """Its name in commands and files."""

    @property
    def ports(self) -> tuple[str, ...]:
        """What it needs ports for, `client` first."""

    def check(self) -> None:
        """Raises EngineMissing, saying what is missing and how to get it."""

    def prepare(self, location: EngineLocation) -> None:
        """Write its configuration and make its data directory. Idempotent: data that is there stays."""

    def command(self, location: EngineLocation) -> list[str]:
        """The command that runs it in the foreground."""

    def environment(self, location: EngineLocation) -> dict[str, str]:
        """What it wants in its environment."""

    def is_ready(self, location: EngineLocation) -> bool:
        """Whether it answers a real request; an open port is not enough."""

    def version(self) -> str:
        """The version that would be started. Raises EngineMissing."""

    def address(self, location: EngineLocation) -> str:
        """Its URL without a namespace; it may hold the secret."""

    def url(self, location: EngineLocation, namespace: str) -> str:
        """The settings' URL of a namespace (a database, a keyspace, a bucket, a prefix), which is made."""


def open_location(
    engine: Engine, folder: Path, *, host: str = LOOPBACK, ports: dict[str, int] | None = None
) -> EngineLocation:
    """The location in a folder: the one that is kept there, else a new one, on free ports beyond those given."""
    file = folder / "place.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        chosen = free_ports(engine.ports) | (ports or {})
        made = EngineLocation(folder=folder.absolute(), ports=chosen, secret=secrets.token_urlsafe(18), host=host)
        _keep(file, msgspec.json.encode(made, enc_hook=str))
    kept = msgspec.json.decode(file.read_bytes(), type=EngineLocation, dec_hook=lambda kind, path: kind(path))
    return msgspec.structs.replace(kept, folder=folder.absolute())  # the folder may have been moved


def free_ports(names: tuple[str, ...], hosts: tuple[str, ...] = (LOOPBACK,)) -> dict[str, int]:
    """A port for each name that nobody listens on now, at any of these addresses of this machine.

    By chance, so that two who choose at once seldom choose alike; below those that systems give to clients, so that a
    client does not sit on it while its engine is away.
    """
    chosen: dict[str, int] = {}
    tried = random.SystemRandom()
    while len(chosen) < len(names):
        port = tried.randrange(15_000, 30_000)
        if port not in chosen.values() and all(_free(one, port) for one in hosts):
            chosen[names[len(chosen)]] = port
    return chosen


def _free(host: str, port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((host, port))
        except OSError:
            return False
        return True


def _keep(file: Path, words: bytes) -> None:
    """Write a file that its owner alone may read, unless another was quicker; whole or not at all."""
    handle, part = tempfile.mkstemp(dir=file.parent)  # which makes it its owner's alone
    with os.fdopen(handle, "wb") as out:
        out.write(words)
    with contextlib.suppress(FileExistsError):
        os.link(part, file)
    Path(part).unlink()
