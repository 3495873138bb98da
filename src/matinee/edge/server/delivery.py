"""The public port: from a request to an object's bytes."""

from __future__ import annotations

from http import HTTPStatus

from matinee.edge.api import BadRequest, LinkRefused, NoSuchFile, OutsideFile, ReadOnly
from matinee.edge.model.addresses import ObjectAddress, parse_address
from matinee.edge.model.conditions import is_current, is_range_good
from matinee.edge.model.ranges import Unsatisfiable, one_range
from matinee.edge.ports import EdgeMetrics, Metric, ObjectMeta
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection
from matinee.edge.server.requests import Request
from matinee.edge.server.tokens import PathTokenVerifier
from matinee.edge.service import Cache, ObjectSource
from matinee.kit import log
from matinee.kit.problem import Problem

_log = log.get()
_SERVER_ERROR = 500
_FAR_BYTES = 32 << 20  # further ahead of a fill than this, a range is fetched by itself


class EdgeBroken(Problem, status=500):
    """Something went wrong at this edge."""


class DeliveryHandler:
    """Answers for content and artwork."""

    def __init__(self, *, cache: Cache, gate: PathTokenVerifier, metrics: EdgeMetrics) -> None:
        self._cache = cache
        self._gate = gate
        self._metrics = metrics

    async def answer(self, connection: Connection, request: Request) -> bool:
        """Answer one request; tells whether the connection may go on."""
        self._metrics.add(Metric.REQUESTS)
        try:
            await self._answer(connection, request)
        except Problem as trouble:
            await self.refuse(connection, request, trouble)
        return request.keep_alive

    async def refuse(self, connection: Connection, request: Request, trouble: Problem) -> None:
        """Answer with a problem document, and count it."""
        self._metrics.add(Metric.SERVER_ERRORS if trouble.status >= _SERVER_ERROR else Metric.CLIENT_ERRORS)
        await connection.send(responses.problem(request, trouble))

    async def _answer(self, connection: Connection, request: Request) -> None:
        if request.refusal is not None:
            raise request.refusal
        if request.method == "OPTIONS":
            await connection.send(responses.preflight(request))
        elif request.method not in {"GET", "HEAD"}:
            raise ReadOnly
        elif (target := _path_form(request.target)) == "/healthz":
            await connection.send(responses.text(request, b"ok\n", "text/plain; charset=utf-8"))
        else:
            address = self._checked(target)
            source = self._cache.hit(address.key) or await self._fetched(address.key)
            await self._deliver(connection, request, source)

    def _checked(self, target: str) -> ObjectAddress:
        if (address := parse_address(target)) is None:
            raise NoSuchFile
        if address.scope and not self._gate.is_valid(address.token, address.scope):
            self._metrics.add(Metric.REFUSED)
            raise LinkRefused
        return address

    async def _fetched(self, key: str) -> ObjectSource:
        try:
            return await self._cache.fetch(key)
        except Problem:
            raise
        except Exception as error:
            _log.exception("edge.broke", key=key)
            raise EdgeBroken from error

    async def _deliver(self, connection: Connection, request: Request, source: ObjectSource) -> None:
        meta = source.meta
        if _is_current(request, meta):
            await connection.send(responses.file_head(request, HTTPStatus.NOT_MODIFIED, meta, 0, 0))
            return
        status, start, stop = _part(request, meta)
        head = responses.file_head(request, status, meta, start, stop)
        bodiless = request.method == "HEAD" or start == stop
        await connection.send(head, more=not bodiless and source.available > start)
        if bodiless:
            return
        if source.file is None or start > source.available + _FAR_BYTES:
            await connection.send_pieces(self._cache.pieces(meta, start), stop - start)
        else:
            await connection.send_source(source, start, stop)


def _path_form(target: str) -> str:
    """The target as a path, where a proxy's whole URL was sent (RFC 9112 §3.2.2)."""
    if target.startswith("/"):
        return target
    if target.startswith(("http://", "https://")):
        return f"/{target.partition('//')[2].partition('/')[2]}"
    raise BadRequest


def _is_current(request: Request, meta: ObjectMeta) -> bool:
    tags, since = request.header(b"if-none-match"), request.header(b"if-modified-since")
    return (tags or since) is not None and is_current(tags, since, etag=meta.etag, modified_s=meta.modified_s)


def _part(request: Request, meta: ObjectMeta) -> tuple[HTTPStatus, int, int]:
    asked = request.header(b"range") if request.method == "GET" else None
    if asked is None or not is_range_good(request.header(b"if-range"), etag=meta.etag, modified_s=meta.modified_s):
        return HTTPStatus.OK, 0, meta.size_bytes
    try:
        found = one_range(asked, meta.size_bytes)
    except Unsatisfiable as error:
        raise OutsideFile(size_bytes=meta.size_bytes) from error
    return (HTTPStatus.OK, 0, meta.size_bytes) if found is None else (HTTPStatus.PARTIAL_CONTENT, *found)
