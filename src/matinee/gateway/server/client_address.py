"""Finds the address of a client behind the proxy."""

from __future__ import annotations

import hmac

from matinee.gateway.server.state import HttpRequest, ServerSettings

PROXY_HEADER = "x-matinee-proxy"
_UNKNOWN = "0.0.0.0"  # noqa: S104  # a value, not an address to bind


def client_ip(request: HttpRequest, settings: ServerSettings) -> str:
    """Return the client's address, from the proxy if it sends the shared secret, else from the connection.

    Any client may send `x-forwarded-for`; the proxy appends the address of its peer as the last one.
    """
    secret = settings.proxy_secret
    if secret and hmac.compare_digest(request.headers.get(PROXY_HEADER, "").encode(), secret.encode()):
        forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if forwarded:
            return str(forwarded)
    return request.client.host if request.client else _UNKNOWN
