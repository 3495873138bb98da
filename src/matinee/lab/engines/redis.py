"""Redis."""

from __future__ import annotations

import contextlib
import socket

from matinee.lab.engines.engine import Place
from matinee.lab.engines.programs import program, version


class Redis:
    """Debian's redis-server, every write on disk before it is answered."""

    name = "redis"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, place: Place) -> None:
        place.data.mkdir(exist_ok=True)

    def command(self, place: Place) -> list[str]:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [
            self._server(), "--port", str(place.port), "--bind", place.host, "--dir", str(place.data), *durable,
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip

    def environment(self, place: Place) -> dict[str, str]:
        return {}

    def answers(self, place: Place) -> bool:
        return asked(place, b"PING\r\n", b"+PONG")

    def version(self) -> str:
        return version(self._server())

    def address(self, place: Place) -> str:
        return f"redis://{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        return f"{self.address(place)}/0?prefix={namespace}"

    def _server(self) -> str:
        return program("redis-server", engine=self.name, package="redis-server")


def asked(place: Place, question: bytes, answer: bytes) -> bool:
    """Whether an engine of a line protocol gives this answer."""
    with contextlib.suppress(OSError), socket.create_connection((place.host, place.port), timeout=1) as line:
        line.sendall(question)
        return line.recv(64).startswith(answer)
    return False
