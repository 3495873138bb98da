"""Compresses the documents of the API and manifests. Files of the web client are compressed when they are built."""

from __future__ import annotations

import gzip

from matinee.drivers.asgi import App, Message, Receive, Scope, Send

# Below this a document fits into one packet anyway.
_MIN_BYTES = 1_400
# Level 5 takes three times as long for an eighth less.
_LEVEL = 1
_TYPES = (b"application/json", b"application/dash+xml", b"application/vnd.apple.mpegurl")


class CompressionMiddleware:
    """An ASGI application that answers with gzip where the client accepts it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepts = scope["type"] == "http" and _accepts_gzip(scope)
        await self._app(scope, receive, _Compressor(send) if accepts else send)


def _accepts_gzip(scope: Scope) -> bool:
    header = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding").decode("latin-1")
    parts = [part.replace(" ", "").lower() for part in header.split(",")]
    return any(part == "gzip" or (part.startswith("gzip;q=") and _parse_weight(part[7:]) > 0) for part in parts)


def _parse_weight(text: str) -> float:
    """Parse a quality value; anything else is 0."""
    try:
        return float(text)
    except ValueError:
        return 0.0


class _Compressor:
    """Holds the start of a response until its body is known, and compresses a body that is sent in one piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_text(message):
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body") and len(message.get("body", b"")) >= _MIN_BYTES:
                start, message = _compress(start, message)
            await self._send(start)
        await self._send(message)


def _is_text(start: Message) -> bool:
    headers: dict[bytes, bytes] = {name.lower(): value for name, value in start["headers"]}
    return headers.get(b"content-type", b"").startswith(_TYPES) and b"content-encoding" not in headers


def _compress(start: Message, message: Message) -> tuple[Message, Message]:
    body = gzip.compress(message["body"], _LEVEL, mtime=0)
    kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    headers = [
        *kept,
        (b"content-length", str(len(body)).encode()),
        (b"content-encoding", b"gzip"),
        (b"vary", b"Accept-Encoding"),
    ]
    return {**start, "headers": headers}, {**message, "body": body}
