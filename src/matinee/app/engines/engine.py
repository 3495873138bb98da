"""What there is to know of an engine to run it here."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Protocol

import msgspec

from matinee.kit.problem import Problem

LOOPBACK = "127.0.0.1"


class Absent(Problem, status=501):
    """An engine cannot be had on this machine."""

    engine: str


class EngineFailed(Problem, status=500):
    """An engine did not start."""

    engine: str


class Place(msgspec.Struct, kw_only=True):
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
    """One kind of engine. Paths and ports come with the `Place`; nothing here keeps state."""

    @property
    def name(self) -> str:
        """Its name in commands and files."""

    @property
    def ports(self) -> tuple[str, ...]:
        """What it needs ports for, `client` first."""

    def check(self) -> None:
        """Raises Absent, saying what is missing and how to get it."""

    def prepare(self, place: Place) -> None:
        """Write its configuration and make its data directory. Idempotent: data that is there stays."""

    def command(self, place: Place) -> list[str]:
        """The command that runs it in the foreground."""

    def environment(self, place: Place) -> dict[str, str]:
        """What it wants in its environment."""

    def answers(self, place: Place) -> bool:
        """Whether it answers a real request; an open port is not enough."""

    def url(self, place: Place, namespace: str) -> str:
        """The settings' URL of a namespace (a database, a keyspace, a bucket, a prefix), which is made."""


def place(engine: Engine, folder: Path) -> Place:
    """The place in a folder: the one that is kept there, else a new one on free ports."""
    file = folder / "place.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Place, dec_hook=lambda kind, path: kind(path))
    folder.mkdir(parents=True, exist_ok=True)
    made = Place(folder=folder, ports=free_ports(engine.ports), secret=secrets.token_urlsafe(18))
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(made, enc_hook=str))
    return made


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A port for each name that nobody listens on now."""
    held = [socket.socket() for _ in names]
    try:
        for one in held:
            one.bind((LOOPBACK, 0))
        return {name: int(one.getsockname()[1]) for name, one in zip(names, held, strict=True)}
    finally:
        for one in held:
            one.close()
