"""The public port: delivers content and artwork."""

from __future__ import annotations

from http import HTTPStatus

from matinee.edge.api import BadRequest, LinkRefused, NoSuchFile, ReadOnly
from matinee.edge.model.addresses import ObjectAddress, parse_address
from matinee.edge.model.conditions import allows_range, is_current
from matinee.edge.model.ranges import parse_range
from matinee.edge.ports import EdgeMetrics, Metric, ObjectMeta
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection
from matinee.edge.server.links import LinkVerifier
from matinee.edge.server.requests import Request
from matinee.edge.service import EdgeCache, ObjectSource
from matinee.kit import context, log
from matinee.kit.context import Context
from matinee.kit.problem import Problem
from matinee.kit.tracing import parse_traceparent

_log = log.get()
# A range that begins further ahead of a fill than this is streamed from the origin by itself.
_AHEAD_LIMIT_BYTES = 32 << 20


class EdgeBroken(Problem, status=500):
    """This edge failed unexpectedly."""


class DeliveryHandler:
    """Handles requests for content and artwork."""

    def __init__(self, *, cache: EdgeCache, links: LinkVerifier, metrics: EdgeMetrics) -> None:
        self._cache = cache
        self._links = links
        self._metrics = metrics

    async def handle(self, connection: Connection, request: Request) -> bool:
        """Answer a request; return whether the connection may stay open."""
        self._metrics.add(Metric.REQUESTS)
        if header := request.header(b"traceparent"):  # few requests have one, and all others shall not pay for it
            parent = parse_traceparent(header)
            with context.activate(Context(trace_id=parent.trace_id if parent else "")):
                return await self._answer(connection, request)
        return await self._answer(connection, request)

    async def _answer(self, connection: Connection, request: Request) -> bool:
        try:
            await self._respond(connection, request)
        except Problem as problem:
            self._metrics.add(Metric.SERVER_ERRORS if problem.status >= 500 else Metric.CLIENT_ERRORS)
            await connection.send(responses.problem(request, problem))
        return request.keep_alive

    async def _respond(self, connection: Connection, request: Request) -> None:
        if request.refusal is not None:
            raise request.refusal
        if request.method == "OPTIONS":
            await connection.send(responses.preflight(request))
        elif request.method not in {"GET", "HEAD"}:
            raise ReadOnly
        elif (target := _to_path(request.target)) == "/healthz":
            await connection.send(responses.text(request, b"ok\n", "text/plain; charset=utf-8"))
        else:
            address = self._authorize(target)
            source = self._cache.find(address.key) or await self._fetch(address.key)
            await self._deliver(connection, request, source)

    def _authorize(self, target: str) -> ObjectAddress:
        if (address := parse_address(target)) is None:
            raise NoSuchFile
        if address.scope and not self._links.is_valid(address.token, address.scope):
            self._metrics.add(Metric.REFUSED)
            raise LinkRefused
        return address

    async def _fetch(self, key: str) -> ObjectSource:
        try:
            return await self._cache.fetch(key)
        except Problem:
            raise
        except Exception as error:
            _log.exception("fetch.failed", key=key)
            raise EdgeBroken from error

    async def _deliver(self, connection: Connection, request: Request, source: ObjectSource) -> None:
        meta = source.meta
        if _is_current(request, meta):
            await connection.send(responses.file_head(request, HTTPStatus.NOT_MODIFIED, meta, 0, 0))
            return
        status, start, stop = _select_range(request, meta)
        head = responses.file_head(request, status, meta, start, stop)
        has_body = request.method != "HEAD" and start != stop
        await connection.send(head, more=has_body and source.available_bytes > start)
        if not has_body:
            return
        if source.file is None or start > source.available_bytes + _AHEAD_LIMIT_BYTES:
            await connection.send_stream(self._cache.stream(meta, start), stop - start)
        else:
            await connection.send_source(source, start, stop)


def _to_path(target: str) -> str:
    """Return the path of a target that may be an absolute URL (RFC 9112 §3.2.2)."""
    if target.startswith("/"):
        return target
    if target.startswith(("http://", "https://")):
        return f"/{target.partition('//')[2].partition('/')[2]}"
    raise BadRequest


def _is_current(request: Request, meta: ObjectMeta) -> bool:
    tags, since = request.header(b"if-none-match"), request.header(b"if-modified-since")
    return (tags or since) is not None and is_current(tags, since, etag=meta.etag, modified_s=meta.modified_s)


def _select_range(request: Request, meta: ObjectMeta) -> tuple[HTTPStatus, int, int]:
    header = request.header(b"range") if request.method == "GET" else None
    if header is None or not allows_range(request.header(b"if-range"), etag=meta.etag, modified_s=meta.modified_s):
        return HTTPStatus.OK, 0, meta.size_bytes
    found = parse_range(header, meta.size_bytes)
    return (HTTPStatus.OK, 0, meta.size_bytes) if found is None else (HTTPStatus.PARTIAL_CONTENT, *found)
