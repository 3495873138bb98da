"""The description of an engine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from matinee.lab.engines.location import EngineLocation
from matinee.lab.engines.programs import run
from matinee.lab.engines.sources import Source

Probe: TypeAlias = Callable[[EngineLocation], bool]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that is a program: how to get, configure and start it, and how to find out whether it answers.

    It has no state: paths and ports are in the `EngineLocation`. `start`, `install`, `files` (by their paths),
    `variables`, `base_url` and `path` are templates, formatted with the ports by their purposes and with `name`,
    `host`, `folder`, `data`, `secret` and `user`, who runs it. The URL of a namespace is `base_url` and `path`.
    """

    source: Source
    start: tuple[str, ...]  # a program of the source and its arguments, in the foreground
    probe: Probe  # a real request: an open port is not enough
    ports: tuple[str, ...] = ("client",)
    folders: tuple[str, ...] = ()  # besides `data`, and `tmp`, which is empty at each start
    files: Mapping[str, str] = {}
    configure: Callable[[EngineLocation], None] = lambda location: None
    install: tuple[str, ...] = ()  # a command that fills the data directory before the first start
    marker: str = "installed"  # the file that shows that `install` has succeeded
    variables: Mapping[str, str] = {}
    base_url: str = "{name}://{host}:{client}"
    path: str = "/{namespace}"
    normalize: Callable[[str], str] = str  # makes a namespace of a name
    create: Callable[[EngineLocation, str], None] = lambda location, namespace: None

    @property
    def name(self) -> str:
        """Its name in commands and files."""
        return self.source.name

    def version(self) -> str:
        """Return the version that would be started. Raises EngineMissing."""
        return self.source.read_version(self.start[0])

    def prepare(self, location: EngineLocation) -> None:
        """Write its configuration and create its data directory. Idempotent: existing data is kept."""
        marker = location.folder / self.marker
        is_new = bool(self.install) and not marker.exists()
        # Left by a killed process, and by an interrupted first start.
        for folder in [location.folder / "tmp", *([location.data] if is_new else [])]:
            shutil.rmtree(folder, ignore_errors=True)
        for name in ("data", "tmp", *self.folders):
            (location.folder / name).mkdir(exist_ok=True, mode=0o700)
        for name, text in self.files.items():
            (location.folder / name).touch(mode=0o600)
            (location.folder / name).write_text(self._fill(text, location))
        self.configure(location)
        if is_new:
            run(self.name, self._build_command(self.install, location))
            marker.touch()

    def command(self, location: EngineLocation) -> list[str]:
        """Return the command that runs it in the foreground. Raises EngineMissing."""
        return self._build_command(self.start, location)

    def environment(self, location: EngineLocation) -> dict[str, str]:
        """Return its environment variables."""
        return {name: self._fill(value, location) for name, value in self.variables.items()}

    def is_ready(self, location: EngineLocation) -> bool:
        """Tell whether it answers a request."""
        return self.probe(location)

    def address(self, location: EngineLocation) -> str:
        """Return its URL without a namespace, including the password if it has one."""
        return self._fill(self.base_url, location)

    def url(self, location: EngineLocation, namespace: str) -> str:
        """Create a namespace (database, keyspace, bucket, prefix) unless it exists; return its URL for settings."""
        name = self.normalize(namespace)
        self.create(location, name)
        return self._fill(self.base_url + self.path, location, namespace=name)

    def _build_command(self, template: Iterable[str], location: EngineLocation) -> list[str]:
        program, *arguments = template
        return [*self.source.find(program), *(self._fill(argument, location) for argument in arguments)]

    def _fill(self, template: str, location: EngineLocation, *, namespace: str = "") -> str:
        values = {"name": self.name, "user": pwd.getpwuid(os.getuid()).pw_name, "namespace": namespace}
        values |= {name: str(getattr(location, name)) for name in ("host", "folder", "data", "secret")}
        return template.format_map(location.ports | values)


def exchange(request: bytes, response: bytes) -> Probe:
    """Return a probe that sends a request and compares the beginning of the response."""

    def probe(location: EngineLocation) -> bool:
        address = (location.host, location.port)
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as connection:
            connection.sendall(request)
            return connection.recv(64).startswith(response)
        return False

    return probe


def to_dns_name(name: str) -> str:
    """Return a name as Kubernetes and S3 allow it."""
    return name.replace("_", "-").lower()
