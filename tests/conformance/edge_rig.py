"""An edge on real sockets, with an origin that can be made to pause, fail and disconnect."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from matinee.edge.adapters.disk import DiskCacheStore
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.http import HttpUpstream
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.adapters.nginx import NginxDataPlane
from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import run_eviction
from matinee.edge.ports import Metric, Upstream
from matinee.edge.server import EdgeServer
from matinee.edge.server.worker import behind_data_plane
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import mint_path_token
from matinee.kit.ids import EdgeId

KEY = b"a key that is thirty-two bytes.."
SCOPE = "assets/ast_1"


def link(path: str, *, scope: str = SCOPE, key: bytes = KEY, seconds: int = 60) -> str:
    """Return a signed path below a scope."""
    return f"/t/{mint_path_token(key, scope, int(time.time()) + seconds)}/{scope}/{path}"


class Origin:
    """An HTTP origin. `objects` are by path without token; the other attributes control its behaviour."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.statuses: list[int] = []  # of the next responses
        self.pause_at: int | None = None  # bytes to send before waiting for `resume`
        self.break_at: int | None = None  # bytes to send before disconnecting
        self.resume = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if not await self._respond(head, writer):
                    break
        writer.close()

    async def _respond(self, head: str, writer: asyncio.StreamWriter) -> bool:
        path = head.split(" ")[1]
        key = path.split("/", 3)[3] if path.startswith("/t/") else path[1:]
        self.requests[key] += 1
        status = self.statuses.pop(0) if self.statuses else 200 if key in self.objects else 404
        if status != 200:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        return await self._send(self.objects[key], head, writer)

    async def _send(self, body: bytes, head: str, writer: asyncio.StreamWriter) -> bool:
        start = int(head.lower().split("range: bytes=")[1].split("-")[0]) if "range: bytes=" in head.lower() else 0
        size, part = len(body), body[start:]
        lines = f'HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(part)}\r\nETag: "{size:x}"\r\n'
        writer.write(f"{lines}Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".encode())
        if (pause_at := self.pause_at) is not None:
            writer.write(part[:pause_at])
            await writer.drain()
            await self.resume.wait()
            part = part[pause_at:]
        if self.break_at is not None:
            writer.write(part[: self.break_at])
            await writer.drain()
            return False
        writer.write(part)
        await writer.drain()
        return True


class HttpResponse(msgspec.Struct):
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Rig(msgspec.Struct):
    """An edge and its origin.

    `closes_silently`: slow clients are disconnected without a response, and a request body does not end the
    connection. `shares_fills`: clients that arrive during a fill read along; otherwise they wait, uncounted.
    """

    server: EdgeServer
    port: int
    origin: Origin
    settings: EdgeSettings
    store: DiskCacheStore
    evictor: DiskEvictor
    metrics: FileEdgeMetrics
    job: asyncio.Task[None]
    closes_silently: bool = False
    shares_fills: bool = True

    async def request(self, path: str, *headers: str, method: str = "GET") -> HttpResponse:
        """Send a request on a new connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await send_request(reader, writer, path, *headers, method=method)
        finally:
            writer.close()

    async def send_raw(self, data: bytes) -> bytes:
        """Send bytes; return everything received until the edge disconnects."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    def total(self, metric: Metric) -> int:
        """Return a metric, summed over the workers."""
        return self.metrics.totals()[metric]

    def count_stored(self) -> int:
        """Return the number of objects in the cache."""
        patterns = ("objects/*/*", "nginx/cache/*/*/*")
        return sum(path.is_file() for pattern in patterns for path in self.settings.cache_dir.glob(pattern))


async def send_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, *headers: str, method: str = "GET"
) -> HttpResponse:
    """Send a request on an open connection. Raises IncompleteReadError if the body is too short."""
    lines = "".join(f"{line}\r\n" for line in headers)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: edge\r\n{lines}\r\n".encode())
    return await read_response(reader, has_body=method != "HEAD")


async def read_response(reader: asyncio.StreamReader, *, has_body: bool = True) -> HttpResponse:
    """Read the next response of a connection."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    length = int(headers["content-length"]) if has_body and status not in {204, 304} else 0
    return HttpResponse(status, headers, await reader.readexactly(length))


@asynccontextmanager
async def run_origin() -> AsyncIterator[Origin]:
    """Run an origin."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, limit=1 << 20)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        origin.resume.set()
        server.close()


@asynccontextmanager
async def run_edge(
    folder: Path,
    origin: Origin,
    *,
    limit_bytes: int = 1 << 28,
    data_plane: str = "reactor",
    upstream: Upstream | None = None,
    **changes: object,
) -> AsyncIterator[Rig]:
    """Run an edge and its eviction job; `upstream` replaces the client of the origin."""
    settings = EdgeSettings(
        edge_id=EdgeId("edg_test"),
        cache_dir=folder / "cache",
        cache_limit_bytes=limit_bytes,
        upstream=f"http://127.0.0.1:{origin.port}",
        token_keys=(KEY,),
        admin_port=0,
    )
    settings = msgspec.structs.replace(settings, **changes)
    metrics, clock = FileEdgeMetrics(settings.cache_dir), SystemClock()
    front = NginxDataPlane(settings, metrics=FileEdgeMetrics(settings.cache_dir)) if data_plane == "nginx" else None
    root, limit_bytes = (settings.cache_dir, limit_bytes) if front is None else (settings.cache_dir / "reactor", 0)
    store, evictor = DiskCacheStore(root, limit_bytes), DiskEvictor(root, limit_bytes)
    upstream = upstream or HttpUpstream(settings.upstream, key=KEY, clock=clock, timeout_s=settings.upstream_timeout_s)
    server = EdgeServer(
        settings if front is None else behind_data_plane(settings),
        store=store,
        upstream=upstream,
        metrics=metrics,
        clock=clock,
        reuse_port=front is None,
    )
    await server.start()
    if front is not None:
        await front.start(filler_port=server.port)
    job = asyncio.create_task(
        run_eviction(store=store, evictor=evictor, metrics=metrics, limit_bytes=limit_bytes)
        if front is None
        else front.run()
    )
    try:
        yield Rig(
            server=server,
            port=server.port if front is None else front.port,
            origin=origin,
            settings=settings,
            store=store,
            evictor=evictor,
            metrics=metrics,
            job=job,
            closes_silently=front is not None,
            shares_fills=front is None,
        )
    finally:
        job.cancel()
        if front is not None:
            await front.stop(0)
        await server.stop(0)
        await upstream.close()
        for part in (store, evictor, metrics):
            part.close()


async def wait_until(condition: Callable[[], object], limit_s: float = 60) -> None:
    """Wait until a condition is true. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  # the condition may depend on another process
            await asyncio.sleep(0.02)
