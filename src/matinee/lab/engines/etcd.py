"""etcd."""

from __future__ import annotations

import contextlib
import urllib.request

from matinee.lab.engines.engine import EngineLocation
from matinee.lab.engines.programs import read_version, require_program


class Etcd:
    """etcd from Debian, one member."""

    name = "etcd"
    ports = ("client", "peer")

    def check(self) -> None:
        self._server()

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True, mode=0o700)

    def command(self, location: EngineLocation) -> list[str]:
        clients, peers = f"http://{location.client}", f"http://{location.host}:{location.ports['peer']}"
        return [
            self._server(), "--name", "one", "--data-dir", str(location.data), "--log-level", "warn",
            "--listen-client-urls", clients, "--advertise-client-urls", clients,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"one={peers}",
        ]  # fmt: skip

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {"ETCD_UNSUPPORTED_ARCH": "arm64"}

    def is_ready(self, location: EngineLocation) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{location.client}/health", timeout=1) as answer,
        ):
            return b'"true"' in answer.read()
        return False

    def version(self) -> str:
        return read_version(self._server())

    def address(self, location: EngineLocation) -> str:
        return f"etcd://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return f"{self.address(location)}/{namespace}"

    def _server(self) -> str:
        return require_program("etcd", engine=self.name, package="etcd-server")
