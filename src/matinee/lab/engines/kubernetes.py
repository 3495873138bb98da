"""Kubernetes' API server with its etcd, and nothing else of a cluster: objects are kept, and nothing acts on them.

It is built from `apiserver/`, a Go module of a few lines around Kubernetes' own code.
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
from matinee.lab.engines.engine import Absent, EngineFailed, Place
from matinee.lab.engines.programs import cache

VERSION: Final = "1.33.0"
MODULE: Final = Path(__file__).parents[1] / "data" / "apiserver"
PROGRAM: Final = "kubernetes"
# With a token file's words: token, user, uid, groups.
_ADMIN: Final = '{secret},admin,admin,"system:masters"\n'
_ASK_S: Final = 2.0


class Kubernetes:
    """One API server; its namespaces are Kubernetes' own."""

    name = "kubernetes"
    ports = ("client",)

    def check(self) -> None:
        self._program()

    def prepare(self, place: Place) -> None:
        place.data.mkdir(exist_ok=True, mode=0o700)
        authority = CertificateAuthority.open(place.folder, now := datetime.now(UTC))
        authority.issue("server", [place.host], now)
        authority.issue("accounts", [place.host], now)  # its key signs the tokens of service accounts
        (place.folder / "ca.crt").write_text(authority.certificate_pem)
        for file, words in (("tokens", _ADMIN.format(secret=place.secret)), ("token", place.secret)):
            (place.folder / file).touch(mode=0o600)
            (place.folder / file).write_text(words)

    def command(self, place: Place) -> list[str]:
        accounts, server = place.folder / "accounts.pem", place.folder / "server.pem"
        return [
            self._program(), f"--bind-address={place.host}", f"--secure-port={place.port}",
            f"--advertise-address={place.host}", "--endpoint-reconciler-type=none",  # the machine needs no network
            f"--tls-cert-file={server}", f"--tls-private-key-file={server}",
            "--authorization-mode=RBAC", f"--token-auth-file={place.folder / 'tokens'}",
            f"--service-account-issuer=https://{place.client}",
            f"--service-account-key-file={accounts}", f"--service-account-signing-key-file={accounts}",
            "--service-cluster-ip-range=10.96.0.0/16", "--profiling=false",
        ]  # fmt: skip

    def environment(self, place: Place) -> dict[str, str]:
        return {}

    def answers(self, place: Place) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return _asked(place, "GET", "/readyz", limit_s=_ASK_S) == 200
        return False

    def version(self) -> str:
        return VERSION

    def address(self, place: Place) -> str:
        return f"kubernetes://{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        name = namespace.replace("_", "-").lower()
        asked = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        if (status := _asked(place, "POST", "/api/v1/namespaces", body=asked)) not in (201, 409):
            raise EngineFailed(engine=self.name, detail=f"kubernetes did not make the namespace {name}: HTTP {status}")
        return f"{self.address(place)}/{name}?ca={place.folder / 'ca.crt'}&token={place.folder / 'token'}"

    def _program(self) -> str:
        built = folder() / PROGRAM
        if not built.exists():
            detail = f"kubernetes {VERSION} is not built: matinee lab engines up kubernetes does it"
            raise Absent(engine=self.name, detail=detail)
        return str(built)


def folder() -> Path:
    """Where the program is kept once it is built."""
    return cache() / "kubernetes" / VERSION


def _asked(place: Place, method: str, path: str, *, body: object = None, limit_s: float = 30) -> int:
    """The status of an answer. Raises OSError, HTTPException."""
    headers = {"authorization": f"Bearer {place.secret}", "content-type": "application/json"}
    data = None if body is None else msgspec.json.encode(body)
    request = urllib.request.Request(f"https://{place.client}{path}", method=method, data=data, headers=headers)
    trusted = ssl.create_default_context(cafile=str(place.folder / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=limit_s, context=trusted) as answer:  # noqa: S310  # always https, above
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
