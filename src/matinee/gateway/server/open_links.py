"""Addresses with a signed token in their path, which pages of any origin may request: manifests, keys, licences."""

from __future__ import annotations

import re

from matinee.drivers.asgi import App, Header, Message, Receive, Scope, Send
from matinee.gateway.model.proxy import API

_LINK = re.compile(rf"{API}/(playback/[^/]+/(manifest|beacon)|licences/(hls|clearkey))/.+")
# The token is the only credential, as at the edges.
_CORS: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Content-Length, ETag, X-Trace-Id"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"timing-allow-origin", b"*"),
]
_PREFLIGHT: list[Header] = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization, Cache-Control, Content-Type, Range"),
    (b"access-control-allow-private-network", b"true"),
    (b"access-control-max-age", b"86400"),
    (b"cache-control", b"no-store"),
]


def list_headers(scope: Scope) -> list[Header]:
    """Return the headers by which pages of other origins may read the response, also that of a refusal."""
    return _CORS if _LINK.fullmatch(scope["path"]) else []


class OpenLinksMiddleware:
    """An ASGI application that answers preflight and HEAD requests of these addresses."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "")
        if method not in {"OPTIONS", "HEAD"} or not _LINK.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
        elif method == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            as_get = {**scope, "method": "GET"}
            await self._app(as_get, receive, _HeadSender(send))
            scope["path_template"] = as_get.get("path_template")  # for metrics and the log


class _HeadSender:
    """Sends a response without its body."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)
