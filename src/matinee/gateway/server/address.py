"""Where a client really is."""

from __future__ import annotations

import hmac
from typing import Any

from litestar import Request

from matinee.gateway.server.state import ServerSettings

PROXY_HEADER = "x-matinee-proxy"


def client_ip(request: Request[Any, Any, Any], settings: ServerSettings) -> str:
    """The client's address: Envoy's word where Envoy proves itself by the shared secret, else the peer's own.

    Anybody may write `x-forwarded-for`; Envoy adds the address it saw as the last.
    """
    vouched = settings.proxy_secret and hmac.compare_digest(
        request.headers.get(PROXY_HEADER, "").encode(), settings.proxy_secret.encode()
    )
    if vouched and (named := request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()):
        return named
    return request.client.host if request.client else "0.0.0.0"  # noqa: S104  # says "not known", binds nothing
