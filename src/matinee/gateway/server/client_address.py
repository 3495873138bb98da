"""Finds the address of a client behind the proxy."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection

from matinee.gateway.server.state import AppState

_UNKNOWN = "0.0.0.0"  # noqa: S104  # a value, not an address to bind


def client_ip(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the client's address: behind the proxy the one that it found, else that of the connection.

    The proxy replaces the `X-Forwarded-For` of clients, and requests that bypass it are not accepted.
    """
    state: AppState = request.app.state.app
    if state.settings.proxy_secret and (forwarded := request.headers.get("x-forwarded-for")):
        return str(forwarded)
    return request.client.host if request.client else _UNKNOWN
