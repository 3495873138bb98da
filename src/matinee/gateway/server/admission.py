"""Which requests the gateway accepts at all: those that the proxy passes on, for a host name of this deployment."""

from __future__ import annotations

import hmac
import ipaddress
import re

from matinee.drivers.asgi import Scope
from matinee.gateway.api.problems import MisdirectedRequest, ProxyBypassed
from matinee.gateway.server.state import ServerSettings
from matinee.kit.problem import Problem

PROXY_HEADER = b"x-matinee-proxy"
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+?))\.?(?::\d{1,5})?")


def find_refusal(scope: Scope, settings: ServerSettings) -> Problem | None:
    """Return the problem of a request that is not accepted."""
    headers = dict(scope["headers"])
    if not hmac.compare_digest(headers.get(PROXY_HEADER, b""), settings.proxy_secret.encode()):
        return ProxyBypassed()
    host = parse_host(headers.get(b"host", b""))
    if host is None or not (host in settings.hosts or _is_local(host)):
        return MisdirectedRequest(host=host or "", detail="This deployment has another name (`gateway.hosts`).")
    return None


def parse_host(header: bytes) -> str | None:
    """Return the name or address in a `Host` header, in lower case; None if it is malformed."""
    found = _HOST.fullmatch(header)
    return (found[1] or found[2]).decode().lower() if found else None


def _is_local(host: str) -> bool:
    """Whether a host cannot be a name of somebody else, whose page could use this deployment by DNS rebinding."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
