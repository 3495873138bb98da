"""Redis and Memcached: servers with a line protocol that take their configuration from the command line."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket

import msgspec

from matinee.lab.engines.engine import EngineLocation
from matinee.lab.engines.programs import read_version, require_program


class LineEngine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine with a line protocol; its Debian package is named like its program.

    `options` are formatted with the location and the name of the user, `url_format` with the namespace.
    """

    name: str
    program: str
    options: tuple[str, ...]
    ping: bytes
    pong: bytes
    url_format: str
    ports: tuple[str, ...] = ("client",)

    def check(self) -> None:
        self._find_program()

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True)

    def command(self, location: EngineLocation) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        options = [option.format(location=location, user=user) for option in self.options]
        return [self._find_program(), *options]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        address = (location.host, location.port)
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as connection:
            connection.sendall(self.ping)
            return connection.recv(64).startswith(self.pong)
        return False

    def version(self) -> str:
        return read_version(self._find_program())

    def address(self, location: EngineLocation) -> str:
        return f"{self.name}://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return self.address(location) + self.url_format.format(namespace=namespace)

    def _find_program(self) -> str:
        return require_program(self.program, engine=self.name, package=self.program)


_REDIS_OPTIONS = (
    "--port", "{location.port}", "--bind", "{location.host}", "--dir", "{location.data}",
    # Every write is on disk before it is acknowledged; no snapshots.
    "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
)  # fmt: skip
REDIS = LineEngine(
    name="redis",
    program="redis-server",
    options=_REDIS_OPTIONS,
    ping=b"PING\r\n",
    pong=b"+PONG",
    url_format="/0?prefix={namespace}",
)
MEMCACHED = LineEngine(
    name="memcached",
    program="memcached",
    options=("-l", "{location.host}", "-p", "{location.port}", "-U", "0", "-m", "64", "-u", "{user}"),
    ping=b"version\r\n",
    pong=b"VERSION",
    url_format="/{namespace}",
)
