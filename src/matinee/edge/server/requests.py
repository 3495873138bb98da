"""Parses requests with httptools (Node's llhttp)."""

from __future__ import annotations

from collections import deque

import httptools
import msgspec

from matinee.edge.api import AddressTooLong, BadRequest, HeaderTooLarge
from matinee.kit.problem import Problem

HEADER_LIMIT = 32 << 10
TARGET_LIMIT = 4 << 10


class Request(msgspec.Struct):
    """One request. Header names are in lower case; `refusal` is the problem of an invalid request."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    keep_alive: bool
    is_http_1_0: bool = False
    refusal: Problem | None = None

    def header(self, name: bytes) -> str | None:
        """Return a header's value, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class RequestReader:
    """Turns received bytes into requests, in order. After an invalid request it accepts nothing more."""

    def __init__(self) -> None:
        self._ready: deque[Request] = deque()
        self._closed = False
        self._pending_bytes = 0
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_begin()

    @property
    def is_inside(self) -> bool:
        """Whether a request has begun and not ended."""
        return self._pending_bytes > 0

    def next(self) -> Request | None:
        """Return the next complete request, if there is one."""
        return self._ready.popleft() if self._ready else None

    def feed(self, data: bytes) -> None:
        """Parse received bytes."""
        if self._closed:
            return
        self._pending_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closed = True  # the request was answered in HTTP/1.1; what follows is another protocol
        except httptools.HttpParserError:
            self._refuse(BadRequest())
        if self._pending_bytes > HEADER_LIMIT and not self._closed:
            self._refuse(AddressTooLong() if len(self._target) > TARGET_LIMIT else HeaderTooLarge())

    def _refuse(self, problem: Problem) -> None:
        self._closed = True
        self._ready.append(Request("GET", "/", {}, keep_alive=False, refusal=problem))

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._has_body = False

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._has_body = True

    def on_message_complete(self) -> None:
        if self._closed:
            return
        self._pending_bytes = 0
        request = self._build_request()
        self._closed = not request.keep_alive
        self._ready.append(request)

    def _build_request(self) -> Request:
        parser, headers = self._parser, self._headers
        is_http_1_0 = parser.get_http_version() == "1.0"
        # No request here has a body. After one that does, the connection is closed.
        keep_alive = (
            parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self._has_body
            and b"transfer-encoding" not in headers
        )
        method, target = parser.get_method().decode("latin-1"), self._target.decode("latin-1")
        request = Request(method, target, headers, keep_alive, is_http_1_0)
        if len(self._target) > TARGET_LIMIT:
            request.refusal, request.keep_alive = AddressTooLong(), False
        elif not is_http_1_0 and b"host" not in headers:
            request.refusal, request.keep_alive = BadRequest(), False
        return request
