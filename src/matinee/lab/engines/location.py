"""Where an engine runs, and the failures of engines."""

from __future__ import annotations

import random
import secrets
import socket
from pathlib import Path

import msgspec

from matinee.drivers.keyfile import create_once
from matinee.kit.problem import Problem

LOOPBACK = "127.0.0.1"


class EngineMissing(Problem, status=501):
    """An engine is not available on this machine."""

    engine: str


class EngineFailed(Problem, status=500):
    """An engine did not start."""

    engine: str


class EngineLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine runs: its folder, its ports by purpose, and its password.

    It is stored in the folder, so that later starts use the same ports and data.
    """

    folder: Path
    ports: dict[str, int]
    secret: str
    host: str

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


def open_location(
    folder: Path, purposes: tuple[str, ...], *, host: str = LOOPBACK, ports: dict[str, int] | None = None
) -> EngineLocation:
    """Return the location stored in a folder, or create it with the given ports and free ones for the rest."""

    def create() -> bytes:
        chosen = free_ports(purposes) | (ports or {})
        return msgspec.json.encode({"ports": chosen, "secret": secrets.token_urlsafe(18), "host": host})

    stored = msgspec.json.decode(create_once(folder / "place.json", create))
    return EngineLocation(**stored | {"folder": folder.absolute()})  # earlier versions stored it


def free_ports(names: tuple[str, ...], hosts: tuple[str, ...] = (LOOPBACK,)) -> dict[str, int]:
    """Return a port for each name that is free at all these addresses.

    Random, so that concurrent callers rarely choose the same one; below the ports that systems give to clients, so that
    a client does not take it while its engine is stopped.
    """
    chosen: dict[str, int] = {}
    rng = random.SystemRandom()
    while len(chosen) < len(names):
        port = rng.randrange(15_000, 30_000)
        if port not in chosen.values() and all(is_free(host, port) for host in hosts):
            chosen[names[len(chosen)]] = port
    return chosen


def is_free(host: str, port: int) -> bool:
    """Tell whether a server can listen at an address; port 0 is free on every address of this machine."""
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
