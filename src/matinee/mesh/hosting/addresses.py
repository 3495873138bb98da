"""The addresses of a deployment as devices see them, and its certificate."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from matinee.kit.clock import Clock
from matinee.mesh.hosting.settings import Deployment

if TYPE_CHECKING:
    from matinee.drivers.authority import CertificateAuthority, ServerCertificate


ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


def public_host(deployment: Deployment) -> str:
    """Return the name or address by which devices reach this machine."""
    listen = listen_host(deployment)
    return deployment.host or (own_address() if listen in ALL_ADDRESSES else listen)


def direct_url(deployment: Deployment, port: int) -> str:
    """Return the URL at which devices reach a port of this machine where no reverse proxy is in front."""
    return _format_url(deployment, public_host(deployment), port)


def internal_url(deployment: Deployment, port: int) -> str:
    """Return the URL at which other processes reach a port of gateway or edge. It has an address, never a name."""
    listen = listen_host(deployment)
    return _format_url(deployment, own_address() if listen in ALL_ADDRESSES else listen, port)


def local_url(deployment: Deployment, port: int) -> str:
    """Return the URL at which processes on this machine reach a port of gateway or edge."""
    listen = listen_host(deployment)
    return _format_url(deployment, "127.0.0.1" if listen in ALL_ADDRESSES else listen, port)


def _format_url(deployment: Deployment, host: str, port: int) -> str:
    return f"{'https' if deployment.lan else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def front_url(deployment: Deployment, port: int) -> str:
    """Return the URL that viewers open."""
    return deployment.public_url.rstrip("/") or direct_url(deployment, port)


def edge_url(deployment: Deployment, template: str, name: str, port: int) -> str:
    """Return the URL at which viewers reach an edge: by its setting, or through the front's public URL, or direct."""
    if template:
        return template.rstrip("/").replace("{edge}", name)
    return f"{front_url(deployment, 0)}/edge/{name}" if deployment.public_url else direct_url(deployment, port)


def listen_host(deployment: Deployment) -> str:
    """Return the address on which gateway and edges listen."""
    if deployment.listen or not deployment.lan:
        return deployment.listen or "127.0.0.1"
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104  # --lan asks for it


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
    listen = listen_host(deployment)
    own = [] if listen in ALL_ADDRESSES else [listen]
    return list(dict.fromkeys([public_host(deployment), *own, socket.gethostname(), "localhost", "127.0.0.1"]))
