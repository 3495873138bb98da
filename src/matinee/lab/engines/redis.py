"""Redis."""

from __future__ import annotations

import contextlib
import socket

from matinee.lab.engines.engine import EngineLocation
from matinee.lab.engines.programs import program, version


class Redis:
    """Debian's redis-server, every write on disk before it is answered."""

    name = "redis"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True)

    def command(self, location: EngineLocation) -> list[str]:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [
            self._server(), "--port", str(location.port), "--bind", location.host, "--dir", str(location.data), *durable,
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        return asked(location, b"PING\r\n", b"+PONG")

    def version(self) -> str:
        return version(self._server())

    def address(self, location: EngineLocation) -> str:
        return f"redis://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return f"{self.address(location)}/0?prefix={namespace}"

    def _server(self) -> str:
        return program("redis-server", engine=self.name, package="redis-server")


def asked(location: EngineLocation, question: bytes, answer: bytes) -> bool:
    """Whether an engine of a line protocol gives this answer."""
    with contextlib.suppress(OSError), socket.create_connection((location.host, location.port), timeout=1) as line:
        line.sendall(question)
        return line.recv(64).startswith(answer)
    return False
