"""Answers' heads, and problem documents."""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus

import msgspec

from matinee.edge.api import OutsideFile, ReadOnly
from matinee.edge.model.addresses import content_type
from matinee.edge.model.conditions import http_date
from matinee.edge.ports import ObjectMeta
from matinee.edge.server.requests import Request
from matinee.kit.problem import Problem

_LINES = {status: f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: matinee\r\n" for status in HTTPStatus}
# Content is named by what is in it and the token is in the path: any page may read it, and it never changes.
_OPEN_TO_PAGES = (
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Expose-Headers: Content-Length, Content-Range, ETag\r\n"
    "Cross-Origin-Resource-Policy: cross-origin\r\n"
    "Timing-Allow-Origin: *\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)
_LASTING = "Cache-Control: public, max-age=31536000, immutable\r\nAccept-Ranges: bytes\r\n"
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
    "Access-Control-Allow-Headers: Range, If-Range, If-None-Match, If-Modified-Since, Cache-Control\r\n"
    "Access-Control-Allow-Private-Network: true\r\n"
    "Access-Control-Max-Age: 86400\r\n"
    "Allow: GET, HEAD, OPTIONS\r\n"
    "Cache-Control: public, max-age=86400\r\n"
)


def file_head(request: Request, status: HTTPStatus, meta: ObjectMeta, start: int, stop: int) -> bytes:
    """The head of an answer with a file's bytes from `start` to `stop` (200, 206), or with none (304)."""
    lines = _described(meta)
    if status is HTTPStatus.PARTIAL_CONTENT:
        lines += f"Content-Range: bytes {start}-{stop - 1}/{meta.size_bytes}\r\n"
    if status is not HTTPStatus.NOT_MODIFIED:
        lines += f"Content-Length: {stop - start}\r\n"
    return _head(request, status, lines)


def preflight(request: Request) -> bytes:
    """What a browser asks before it asks across origins."""
    return _head(request, HTTPStatus.NO_CONTENT, _OPEN_TO_PAGES + _PREFLIGHT)


def text(request: Request, body: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK) -> bytes:
    """A small answer that nobody keeps, whole."""
    lines = f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n"
    return _head(request, status, _OPEN_TO_PAGES + lines) + (b"" if request.method == "HEAD" else body)


def problem(request: Request, trouble: Problem) -> bytes:
    """An RFC 9457 problem document, whole."""
    body = msgspec.json.encode(trouble.to_document())
    lines = f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n"
    if isinstance(trouble, OutsideFile):
        lines += f"Content-Range: bytes */{trouble.size_bytes}\r\n"
    if isinstance(trouble, ReadOnly):
        lines += "Allow: GET, HEAD, OPTIONS\r\n"
    if trouble.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines += "Retry-After: 1\r\n"
    head = _head(request, HTTPStatus(trouble.status), _OPEN_TO_PAGES + lines)
    return head + (b"" if request.method == "HEAD" else body)


def unasked(trouble: Problem) -> bytes:
    """A problem document for a client that has not finished asking; the connection ends with it."""
    return problem(Request("GET", "/", {}, keep_alive=False), trouble)


def _head(request: Request, status: HTTPStatus, lines: str) -> bytes:
    connection = ""
    if not request.keep_alive:
        connection = "Connection: close\r\n"
    elif request.is_http_1_0:
        connection = "Connection: keep-alive\r\n"
    return f"{_LINES[status]}Date: {_dated(int(time.time()))}\r\n{lines}{connection}\r\n".encode("latin-1")


@lru_cache(maxsize=2)
def _dated(now_s: int) -> str:
    return http_date(now_s)


@lru_cache(maxsize=4096)
def _described(meta: ObjectMeta) -> str:
    modified = f"Last-Modified: {http_date(meta.modified_s)}\r\n" if meta.modified_s else ""
    kind = f"Content-Type: {content_type(meta.key)}\r\nETag: {meta.etag}\r\n"
    return f"{_OPEN_TO_PAGES}{_LASTING}{kind}{modified}"
