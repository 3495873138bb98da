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

import msgspec

from matinee.drivers.authority import CertificateAuthority
from matinee.lab.engines.engine import Engine, to_dns_name
from matinee.lab.engines.location import EngineFailed, EngineLocation
from matinee.lab.engines.sources import Go

ANSWER_S = 2.0
MODULE = Path(__file__).parents[1] / "data" / "apiserver"


def _issue_certificates(location: EngineLocation) -> None:
    authority = CertificateAuthority.open(location.folder, now := datetime.now(UTC))
    authority.issue("server", [location.host], now)
    authority.issue("accounts", [location.host], now)  # its key signs the tokens of service accounts
    (location.folder / "ca.crt").write_text(authority.certificate_pem)


def _is_ready(location: EngineLocation) -> bool:
    with contextlib.suppress(OSError, HTTPException):
        return _request(location, "GET", "/readyz", limit_s=ANSWER_S) == 200
    return False


def _create_namespace(location: EngineLocation, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    if (status := _request(location, "POST", "/api/v1/namespaces", body=body)) not in (201, 409):
        raise EngineFailed(engine="kubernetes", detail=f"kubernetes did not create namespace {name}: HTTP {status}")


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


KUBERNETES = Engine(
    source=Go(
        name="kubernetes",
        program="kubernetes",
        version="1.33.0",
        # Without optimisations it builds in half the time.
        arguments=(
            "build", f"-C={MODULE}", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-gcflags=all=-N -l",
            "-o", "{folder}/kubernetes", ".",
        ),
        duration="four to fifteen minutes",
    ),
    # A line of `tokens`: token, user, uid, groups.
    files={"tokens": '{secret},admin,admin,"system:masters"\n', "token": "{secret}"},
    configure=_issue_certificates,
    start=(
        "kubernetes", "--bind-address={host}", "--secure-port={client}",
        "--advertise-address={host}", "--endpoint-reconciler-type=none",  # the machine needs no network
        "--tls-cert-file={folder}/server.pem", "--tls-private-key-file={folder}/server.pem",
        "--authorization-mode=RBAC", "--token-auth-file={folder}/tokens",
        "--service-account-issuer=https://{host}:{client}",
        "--service-account-key-file={folder}/accounts.pem",
        "--service-account-signing-key-file={folder}/accounts.pem",
        "--service-cluster-ip-range=10.96.0.0/16", "--profiling=false",
    ),
    probe=_is_ready,
    path="/{namespace}?ca={folder}/ca.crt&token={folder}/token",
    normalize=to_dns_name,
    create=_create_namespace,
)  # fmt: skip
