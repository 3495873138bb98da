"""Requests out of bytes, by httptools (Node's llhttp)."""

from __future__ import annotations

from collections import deque

import httptools
import msgspec

from matinee.edge.api import AddressTooLong, BadRequest, HeaderTooLarge
from matinee.kit.problem import Problem

HEADER_LIMIT = 32 << 10
TARGET_LIMIT = 4 << 10


class Request(msgspec.Struct):
    """One request; header names in lower case. `refusal` says what is wrong with it, if anything is."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    keep_alive: bool
    is_http_1_0: bool = False
    refusal: Problem | None = None

    def header(self, name: bytes) -> str | None:
        """A header's value; None where it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class RequestReader:
    """Takes bytes as they come and hands out requests in order. After a refusal it takes nothing more."""

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
        """The next whole request, if there is one."""
        return self._ready.popleft() if self._ready else None

    def feed(self, data: bytes) -> None:
        """Take in bytes."""
        if self._closed:
            return
        self._pending_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closed = True  # asked to speak something else: we answered in HTTP/1.1, and that was the last
        except httptools.HttpParserError:
            self._refuse(BadRequest())
        if self._pending_bytes > HEADER_LIMIT and not self._closed:
            self._refuse(AddressTooLong() if len(self._target) > TARGET_LIMIT else HeaderTooLarge())

    def _refuse(self, problem: Problem) -> None:
        self._closed = True
        self._ready.append(Request("GET", "/", {}, keep_alive=False, refusal=problem))

    # What the parser calls.

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
        request = self._request()
        self._closed = not request.keep_alive
        self._ready.append(request)

    def _request(self) -> Request:
        parser, headers = self._parser, self._headers
        old = parser.get_http_version() == "1.0"
        # A body is never wanted here; what follows one is not worth trusting, so the connection ends with the answer.
        keep = parser.should_keep_alive() and not self._has_body and b"transfer-encoding" not in headers
        method = parser.get_method().decode("latin-1")
        request = Request(method, self._target.decode("latin-1"), headers, keep and not parser.should_upgrade(), old)
        if len(self._target) > TARGET_LIMIT:
            request.refusal, request.keep_alive = AddressTooLong(), False
        elif not old and b"host" not in headers:
            request.refusal, request.keep_alive = BadRequest(), False
        return request
