"""The API server of Kubernetes with its etcd and no controllers: objects are stored, and nothing acts on them.

It is built from `lab/data/apiserver`, a Go module of a few lines around the code of Kubernetes.
"""

from __future__ import annotations

import contextlib
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Final

import msgspec

from matinee.drivers.authority import CertificateAuthority
from matinee.lab.engines.engine import EngineFailed, EngineLocation, EngineMissing
from matinee.lab.engines.programs import cache_folder

VERSION: Final = "1.33.0"
MODULE: Final = Path(__file__).parents[1] / "data" / "apiserver"
PROGRAM: Final = "kubernetes"
# A line of a token file: token, user, uid, groups.
_ADMIN: Final = '{secret},admin,admin,"system:masters"\n'
_ASK_S: Final = 2.0


class Kubernetes:
    """One API server; namespaces are those of Kubernetes."""

    name = "kubernetes"
    ports = ("client",)

    def check(self) -> None:
        self._find_program()

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True, mode=0o700)
        authority = CertificateAuthority.open(location.folder, now := datetime.now(UTC))
        authority.issue("server", [location.host], now)
        authority.issue("accounts", [location.host], now)  # its key signs the tokens of service accounts
        (location.folder / "ca.crt").write_text(authority.certificate_pem)
        for file, text in (("tokens", _ADMIN.format(secret=location.secret)), ("token", location.secret)):
            (location.folder / file).touch(mode=0o600)
            (location.folder / file).write_text(text)

    def command(self, location: EngineLocation) -> list[str]:
        accounts, server = location.folder / "accounts.pem", location.folder / "server.pem"
        return [
            self._find_program(), f"--bind-address={location.host}", f"--secure-port={location.port}",
            f"--advertise-address={location.host}", "--endpoint-reconciler-type=none",  # the machine needs no network
            f"--tls-cert-file={server}", f"--tls-private-key-file={server}",
            "--authorization-mode=RBAC", f"--token-auth-file={location.folder / 'tokens'}",
            f"--service-account-issuer=https://{location.client}",
            f"--service-account-key-file={accounts}", f"--service-account-signing-key-file={accounts}",
            "--service-cluster-ip-range=10.96.0.0/16", "--profiling=false",
        ]  # fmt: skip

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return _request(location, "GET", "/readyz", limit_s=_ASK_S) == 200
        return False

    def version(self) -> str:
        return VERSION

    def address(self, location: EngineLocation) -> str:
        return f"kubernetes://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        name = namespace.replace("_", "-").lower()
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        if (status := _request(location, "POST", "/api/v1/namespaces", body=body)) not in (201, 409):
            raise EngineFailed(
                engine=self.name, detail=f"kubernetes did not create the namespace {name}: HTTP {status}"
            )
        return f"{self.address(location)}/{name}?ca={location.folder / 'ca.crt'}&token={location.folder / 'token'}"

    def _find_program(self) -> str:
        built = program_folder() / PROGRAM
        if not built.exists():
            detail = f"kubernetes {VERSION} is not built: run matinee lab engines up kubernetes"
            raise EngineMissing(engine=self.name, detail=detail)
        return str(built)


def program_folder() -> Path:
    """Return the folder of the built program."""
    return cache_folder() / "kubernetes" / VERSION


def _request(location: EngineLocation, method: str, path: str, *, body: object = None, limit_s: float = 30) -> int:
    """Return the status of a response. Raises OSError, HTTPException."""
    headers = {"authorization": f"Bearer {location.secret}", "content-type": "application/json"}
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(f"https://{location.client}{path}", method=method, data=data, headers=headers)
    trusted = ssl.create_default_context(cafile=str(location.folder / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=limit_s, context=trusted) as response:  # noqa: S310  # always https, above
            return int(response.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
