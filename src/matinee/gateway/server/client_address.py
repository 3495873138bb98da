"""Finds the address of a client behind the proxy, and the address that it uses."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection

from matinee.gateway.server.state import AppState

_SCHEMES = frozenset({"http", "https"})
_UNKNOWN = "0.0.0.0"  # noqa: S104  # a value, not an address to bind


def client_ip(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the client's address: behind the proxy the one that it found, else that of the connection.

    The proxy replaces the `X-Forwarded-For` of clients, and requests that bypass it are not accepted.
    """
    state: AppState = request.app.state.app
    if state.settings.proxy_secret and (forwarded := request.headers.get("x-forwarded-for")):
        return str(forwarded)
    return request.client.host if request.client else _UNKNOWN


def find_origin(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the origin by which a client reaches the gateway, for absolute links.

    The host that the request names has been checked. Of a public URL, which a reverse proxy may serve, it is known
    whether it uses TLS; of other names the proxy of this deployment knows it.
    """
    state: AppState = request.app.state.app
    host = request.headers.get("host", "").lower()
    known = next((origin for origin in state.settings.origins if origin.partition("://")[2] == host), "")
    scheme = request.headers.get("x-forwarded-proto", "") if state.settings.proxy_secret else ""
    return known or f"{scheme if scheme in _SCHEMES else request.scope['scheme']}://{host}"
