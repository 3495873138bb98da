"""Memcached."""

from __future__ import annotations

import os
import pwd

from matinee.lab.engines.engine import EngineLocation
from matinee.lab.engines.programs import program, version
from matinee.lab.engines.redis import asked

MEMORY_MB = 64


class Memcached:
    """Debian's memcached."""

    name = "memcached"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True)

    def command(self, location: EngineLocation) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        return [
            self._server(),
            "-l",
            location.host,
            "-p",
            str(location.port),
            "-U",
            "0",
            "-m",
            str(MEMORY_MB),
            "-u",
            user,
        ]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        return asked(location, b"version\r\n", b"VERSION")

    def version(self) -> str:
        return version(self._server())

    def address(self, location: EngineLocation) -> str:
        return f"memcached://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return f"{self.address(location)}/{namespace}"

    def _server(self) -> str:
        return program("memcached", engine=self.name, package="memcached")
