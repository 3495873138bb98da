"""The addresses of a deployment as devices see them, and its certificate."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from matinee.kit.clock import Clock
from matinee.mesh.hosting.settings import Deployment

if TYPE_CHECKING:
    from matinee.drivers.authority import CertificateAuthority, ServerCertificate


def public_host(deployment: Deployment) -> str:
    """Return the name or address by which devices reach this machine."""
    if deployment.host:
        return deployment.host
    return own_address() if deployment.lan else "127.0.0.1"


def public_url(deployment: Deployment, port: int) -> str:
    """Return the URL at which devices reach a port of the gateway or of an edge."""
    return f"{'https' if deployment.lan else 'http'}://{public_host(deployment)}:{port}"


def listen_host(deployment: Deployment) -> str:
    """Return the address on which gateway and edges listen."""
    return "0.0.0.0" if deployment.lan else "127.0.0.1"  # noqa: S104  # --lan asks for it


def own_address() -> str:
    """Return this machine's address in its network. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def open_authority(deployment: Deployment, clock: Clock) -> CertificateAuthority:
    """Open this deployment's certificate authority, created at the first use."""
    from matinee.drivers.authority import CertificateAuthority

    return CertificateAuthority.open(deployment.secrets / "authority", clock.now(), hosts=_list_hosts(deployment))


def issue_certificate(deployment: Deployment, clock: Clock) -> ServerCertificate:
    """Return this machine's certificate, renewed before it expires."""
    return open_authority(deployment, clock).issue("deployment", _list_hosts(deployment), clock.now())


def _list_hosts(deployment: Deployment) -> list[str]:
    return list(dict.fromkeys([public_host(deployment), socket.gethostname(), "localhost", "127.0.0.1"]))
