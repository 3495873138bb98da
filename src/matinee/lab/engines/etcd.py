"""etcd."""

from __future__ import annotations

import contextlib
import urllib.request

from matinee.lab.engines.engine import Place
from matinee.lab.engines.programs import program, version


class Etcd:
    """Debian's etcd, one member."""

    name = "etcd"
    ports = ("client", "peer")

    def check(self) -> None:
        self._server()

    def prepare(self, place: Place) -> None:
        place.data.mkdir(exist_ok=True, mode=0o700)

    def command(self, place: Place) -> list[str]:
        clients, peers = f"http://{place.client}", f"http://{place.host}:{place.ports['peer']}"
        return [
            self._server(), "--name", "one", "--data-dir", str(place.data), "--log-level", "warn",
            "--listen-client-urls", clients, "--advertise-client-urls", clients,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"one={peers}",
        ]  # fmt: skip

    def environment(self, place: Place) -> dict[str, str]:
        return {"ETCD_UNSUPPORTED_ARCH": "arm64"}

    def answers(self, place: Place) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{place.client}/health", timeout=1) as answer:
            return b'"true"' in answer.read()
        return False

    def version(self) -> str:
        return version(self._server())

    def address(self, place: Place) -> str:
        return f"etcd://{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        return f"{self.address(place)}/{namespace}"

    def _server(self) -> str:
        return program("etcd", engine=self.name, package="etcd-server")
