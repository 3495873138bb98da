"""An edge on real sockets, before an origin on real sockets that can be made to stall, fail and break off."""

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
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import mint_path_token
from matinee.kit.ids import EdgeId

KEY = b"a key that is thirty-two bytes.."
SCOPE = "assets/ast_1"


def link(path: str, *, scope: str = SCOPE, key: bytes = KEY, seconds: int = 60) -> str:
    """A signed path below a scope."""
    return f"/t/{mint_path_token(key, scope, int(time.time()) + seconds)}/{scope}/{path}"


class Origin:
    """An HTTP origin. `objects` are by path without token; the rest says how it behaves."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.statuses: list[int] = []  # answered first, one a request
        self.pause_at: int | None = None  # bytes sent before waiting for `go_on`
        self.break_at: int | None = None  # bytes sent before hanging up
        self.go_on = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if not await self._answer(head, writer):
                    break
        writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> bool:
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
        about = f'HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(part)}\r\nETag: "{size:x}"\r\n'
        writer.write(f"{about}Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".encode())
        if (pause_at := self.pause_at) is not None:
            writer.write(part[:pause_at])
            await writer.drain()
            await self.go_on.wait()
            part = part[pause_at:]
        if self.break_at is not None:
            writer.write(part[: self.break_at])
            await writer.drain()
            return False
        writer.write(part)
        await writer.drain()
        return True


class Answer(msgspec.Struct):
    """What a client got; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Rig(msgspec.Struct):
    """An edge and its origin.

    `is_terse`: who is too slow is shown out without a word, who sent a body may stay. `reads_along`: who comes during
    a fill reads what has arrived; else they wait for all of it, uncounted meanwhile.
    """

    server: EdgeServer
    port: int
    origin: Origin
    settings: EdgeSettings
    disk: DiskCacheStore
    evictor: DiskEvictor
    metrics: FileEdgeMetrics
    job: asyncio.Task[None]
    is_terse: bool = False
    reads_along: bool = True

    async def ask(self, path: str, *headers: str, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            return await asking(reader, writer, path, *headers, method=method)
        finally:
            writer.close()

    async def say(self, data: bytes) -> bytes:
        """Send raw bytes, and tell all that comes back until the edge hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    def count(self, count: Metric) -> int:
        """A figure, summed over workers."""
        return self.metrics.totals()[count]

    def stored(self) -> int:
        """How many objects lie in the cache."""
        places = ("objects/*/*", "nginx/cache/*/*/*")
        return sum(path.is_file() for place in places for path in self.settings.cache_dir.glob(place))


async def asking(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, *headers: str, method: str = "GET"
) -> Answer:
    """One request on an open connection. Raises IncompleteReadError for a body that is too short."""
    lines = "".join(f"{line}\r\n" for line in headers)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: edge\r\n{lines}\r\n".encode())
    return await answer_of(reader, bodiless=method == "HEAD")


async def answer_of(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Answer:
    """The next answer on a connection."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    length = 0 if bodiless or status in {204, 304} else int(headers["content-length"])
    return Answer(status, headers, await reader.readexactly(length))


@asynccontextmanager
async def an_origin() -> AsyncIterator[Origin]:
    """A running origin."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, limit=1 << 20)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        origin.go_on.set()
        server.close()


@asynccontextmanager
async def an_edge(
    place: Path,
    origin: Origin,
    *,
    limit_bytes: int = 1 << 28,
    plane: str = "reactor",
    above: Upstream | None = None,
    **more: object,
) -> AsyncIterator[Rig]:
    """A running edge with its evictor job; `plane` is what takes the clients, `above` stands in for the origin."""
    settings = EdgeSettings(
        edge_id=EdgeId("edg_test"),
        cache_dir=place / "cache",
        cache_limit_bytes=limit_bytes,
        upstream=f"http://127.0.0.1:{origin.port}",
        token_keys=(KEY,),
        admin_port=0,
    )
    settings = msgspec.structs.replace(settings, **more)
    front = NginxDataPlane(settings, metrics=FileEdgeMetrics(settings.cache_dir)) if plane == "nginx" else None
    kept = settings.cache_dir if front is None else settings.cache_dir / "reactor"
    limit_bytes = limit_bytes if front is None else 0
    disk, evictor = DiskCacheStore(kept, limit_bytes), DiskEvictor(kept, limit_bytes)
    metrics = FileEdgeMetrics(settings.cache_dir)
    timeout_s = settings.upstream_timeout_s
    upstream = above or HttpUpstream(settings.upstream, key=KEY, clock=SystemClock(), timeout_s=timeout_s)
    server = EdgeServer(settings, disk=disk, upstream=upstream, metrics=metrics, clock=SystemClock(), shared=True)
    await server.start()
    if front is not None:
        await front.start(filler_port=server.port)
    work = run_eviction(disk=disk, evictor=evictor, metrics=metrics) if front is None else front.keep()
    job = asyncio.create_task(work)
    try:
        port = server.port if front is None else front.port
        yield Rig(
            server,
            port,
            origin,
            settings,
            disk,
            evictor,
            metrics,
            job,
            is_terse=front is not None,
            reads_along=front is None,
        )
    finally:
        job.cancel()
        if front is not None:
            await front.stop(0)
        await server.stop(0)
        await upstream.close()
        for part in (disk, evictor, metrics):
            part.close()


async def until(condition: Callable[[], object], limit_s: float = 60) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  # what is waited for may happen in another process
            await asyncio.sleep(0.02)
