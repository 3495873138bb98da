"""Real engines for the tests: a shared one of each kind, some of one's own to be killed, and a slow road to them.

`tools/test.py` starts the shared ones and says where (`MATINEE_ENGINES`); without it the first test that needs one
starts it, and it ends with the tests.
"""

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from matinee.lab.engines import ENGINES, Ring, Running
from matinee.lab.engines.jars import QUICK

os.environ |= QUICK
_numbers = itertools.count(1)
_shared: dict[str, "Shared"] = {}


class Shared:
    """An engine that all tests of a run speak to, each in namespaces of its own."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def url(self, name: str) -> str:
        """A fresh namespace."""
        return self.running.url(unique_name(name))


def unique_name(name: str) -> str:
    """A name that nobody has used, which every engine takes for a namespace."""
    return f"{name}_{uuid.uuid4().hex[:10]}"


def shared_engine(name: str) -> Shared:
    """The shared engine of a kind."""
    if name not in _shared:
        _shared[name] = Shared(Running(ENGINES[name], _root() / name, tied="MATINEE_ENGINES" not in os.environ).start())
    return _shared[name]


def private_engine(name: str, folder: Path, nodes: int = 1) -> Running | Ring:
    """An engine of one's own, to be used as a context: what is done to it hurts nobody else.

    Several nodes (Cassandra's): a ring, whose `nodes` are killed and started one by one.
    """
    at = folder / f"{name}-{next(_numbers)}"
    return Running(ENGINES[name], at) if nodes == 1 else Ring(at, nodes)


@functools.cache
def _root() -> Path:
    if place := os.environ.get("MATINEE_ENGINES"):
        return Path(place)
    folder = Path(tempfile.mkdtemp(prefix="matinee-engines-"))
    atexit.register(_end, folder)
    return folder


def _end(folder: Path) -> None:
    for shared in _shared.values():
        shared.running.kill()
    shutil.rmtree(folder, ignore_errors=True)


class SlowProxy:
    """A proxy in front of an engine: `delay_s` before each piece of an answer; `cut` breaks it, `mend` lets it be."""

    def __init__(self, url: str) -> None:
        self._url = url
        place = re.search(r"(127\.0\.0\.\d+):(\d+)", url)
        assert place is not None, f"no place in {url}"
        self._host, self._port = place[1], int(place[2])
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.delay_s = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        """The engine's URL, by way of the proxy."""
        return self._url.replace(f"{self._host}:{self._port}", f"127.0.0.1:{self.port}")

    def disconnect(self) -> None:
        """Break every connection, and refuse new ones."""
        self._is_cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def restore(self) -> None:
        """Let connections be made again."""
        self._is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one of its ends is closed."""
        if self._is_cut:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            inner, outer = await asyncio.open_connection(self._host, self._port)
            self._open |= {writer, outer}
            both = [
                asyncio.ensure_future(self._pass(reader, outer, 0)),
                asyncio.ensure_future(self._pass(inner, writer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()
            self._open -= {writer, outer}
            outer.transport.abort()
        writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                await asyncio.sleep(self.delay_s if delay_s is None else delay_s)
                writer.write(piece)
                await writer.drain()


@contextlib.asynccontextmanager
async def slow_proxy(url: str) -> AsyncIterator[SlowProxy]:
    """A proxy in front of the engine behind a URL."""
    proxy = SlowProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.disconnect()
