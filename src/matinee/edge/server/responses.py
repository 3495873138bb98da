"""Builds response heads and problem documents."""

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
from matinee.kit import context
from matinee.kit.problem import Problem

_STATUS_LINES = {status: f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: matinee\r\n" for status in HTTPStatus}
# The token in the path is the only credential, so pages of any origin may read responses.
_CORS = (
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Expose-Headers: Content-Length, Content-Range, ETag\r\n"
    "Cross-Origin-Resource-Policy: cross-origin\r\n"
    "Timing-Allow-Origin: *\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)
# Objects are named by their content and never change.
_IMMUTABLE = "Cache-Control: public, max-age=31536000, immutable\r\nAccept-Ranges: bytes\r\n"
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
    "Access-Control-Allow-Headers: Range, If-Range, If-None-Match, If-Modified-Since, Cache-Control\r\n"
    "Access-Control-Allow-Private-Network: true\r\n"
    "Access-Control-Max-Age: 86400\r\n"
    "Allow: GET, HEAD, OPTIONS\r\n"
    "Cache-Control: public, max-age=86400\r\n"
)


def file_head(request: Request, status: HTTPStatus, meta: ObjectMeta, start: int, stop: int) -> bytes:
    """Return the head of a response with the bytes `start` to `stop` (200, 206) or without a body (304)."""
    lines = _render_object_headers(meta)
    if status is HTTPStatus.PARTIAL_CONTENT:
        lines += f"Content-Range: bytes {start}-{stop - 1}/{meta.size_bytes}\r\n"
    if status is not HTTPStatus.NOT_MODIFIED:
        lines += f"Content-Length: {stop - start}\r\n"
    return _render_head(request, status, lines)


def preflight(request: Request) -> bytes:
    """Return the response to a CORS preflight request."""
    return _render_head(request, HTTPStatus.NO_CONTENT, _CORS + _PREFLIGHT)


def text(
    request: Request, body: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK, headers: str = ""
) -> bytes:
    """Return a complete small response that is not cached."""
    lines = f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n{headers}"
    return _render_head(request, status, _CORS + lines) + (b"" if request.method == "HEAD" else body)


def problem(request: Request, error: Problem) -> bytes:
    """Return a complete response with an RFC 9457 problem document."""
    headers = ""
    if isinstance(error, OutsideFile):
        headers = f"Content-Range: bytes */{error.size_bytes}\r\n"
    elif isinstance(error, ReadOnly):
        headers = "Allow: GET, HEAD, OPTIONS\r\n"
    elif error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = "Retry-After: 1\r\n"
    body = msgspec.json.encode(error.to_document(context.current().trace_id))
    return text(request, body, "application/problem+json", HTTPStatus(error.status), headers)


def format_unsolicited(error: Problem) -> bytes:
    """Return a problem document for a client that has not sent a complete request, before its connection closes."""
    return problem(Request("GET", "/", {}, keep_alive=False), error)


def _render_head(request: Request, status: HTTPStatus, lines: str) -> bytes:
    connection = ""
    if not request.keep_alive:
        connection = "Connection: close\r\n"
    elif request.is_http_1_0:
        connection = "Connection: keep-alive\r\n"
    date = _format_date(int(time.time()))
    return f"{_STATUS_LINES[status]}Date: {date}\r\n{lines}{connection}\r\n".encode("latin-1")


@lru_cache(maxsize=2)
def _format_date(now_s: int) -> str:
    return http_date(now_s)


@lru_cache(maxsize=4096)
def _render_object_headers(meta: ObjectMeta) -> str:
    modified = f"Last-Modified: {http_date(meta.modified_s)}\r\n" if meta.modified_s else ""
    return f"{_CORS}{_IMMUTABLE}Content-Type: {content_type(meta.key)}\r\nETag: {meta.etag}\r\n{modified}"
