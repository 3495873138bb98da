"""Memcached."""

from __future__ import annotations

import os
import pwd

from matinee.lab.engines.engine import Place
from matinee.lab.engines.programs import program, version
from matinee.lab.engines.redis import asked

MEMORY_MB = 64


class Memcached:
    """Debian's memcached."""

    name = "memcached"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, place: Place) -> None:
        place.data.mkdir(exist_ok=True)

    def command(self, place: Place) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        return [self._server(), "-l", place.host, "-p", str(place.port), "-U", "0", "-m", str(MEMORY_MB), "-u", user]

    def environment(self, place: Place) -> dict[str, str]:
        return {}

    def answers(self, place: Place) -> bool:
        return asked(place, b"version\r\n", b"VERSION")

    def version(self) -> str:
        return version(self._server())

    def address(self, place: Place) -> str:
        return f"memcached://{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        return f"{self.address(place)}/{namespace}"

    def _server(self) -> str:
        return program("memcached", engine=self.name, package="memcached")
