"""Real engines for the tests: a shared one of each kind, private ones to be killed, and a slow proxy.

`tools/test.py` starts the shared engines in the folder `MATINEE_ENGINES`; without it the first test that needs an
engine starts it, and it ends with the tests.
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

from matinee.lab.engines import ENGINES, EngineProcess, Ring
from matinee.lab.engines.programs import FAST_START

os.environ |= FAST_START
_numbers = itertools.count(1)
_shared: dict[str, "SharedEngine"] = {}


class SharedEngine:
    """An engine that all tests of a run use, each in its own namespaces."""

    def __init__(self, running: EngineProcess) -> None:
        self.running = running

    def url(self, name: str) -> str:
        """Return the URL of a new namespace."""
        return self.running.url(unique_name(name))


def unique_name(name: str) -> str:
    """Return a unique name that every engine accepts as a namespace."""
    return f"{name}_{uuid.uuid4().hex[:10]}"


def shared_engine(name: str) -> SharedEngine:
    """Return the shared engine of a kind, and start it where it does not run."""
    if name not in _shared:
        _shared[name] = SharedEngine(
            EngineProcess(ENGINES[name], _engines_folder() / name, tied="MATINEE_ENGINES" not in os.environ).start()
        )
    return _shared[name]


def private_engine(name: str, folder: Path, nodes: int = 1) -> EngineProcess | Ring:
    """Return an engine for one test, as a context manager.

    With several nodes (Cassandra only) it is a ring, whose `nodes` can be killed and started one by one.
    """
    own = folder / f"{name}-{next(_numbers)}"
    return EngineProcess(ENGINES[name], own) if nodes == 1 else Ring(own, nodes)


@functools.cache
def _engines_folder() -> Path:
    if place := os.environ.get("MATINEE_ENGINES"):
        return Path(place)
    folder = Path(tempfile.mkdtemp(prefix="matinee-engines-"))
    atexit.register(_kill_engines, folder)
    return folder


def _kill_engines(folder: Path) -> None:
    for shared in _shared.values():
        shared.running.kill()
    shutil.rmtree(folder, ignore_errors=True)


class SlowProxy:
    """A proxy in front of an engine. It delays each piece of an answer by `delay_s`, and can refuse connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        address = re.search(r"(127\.0\.0\.\d+):(\d+)", url)
        assert address is not None, f"no address in {url}"
        self._host, self._port = address[1], int(address[2])
        self._open: set[asyncio.StreamWriter] = set()
        self._is_disconnected = False
        self.delay_s = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        """The engine's URL through the proxy."""
        return self._url.replace(f"{self._host}:{self._port}", f"127.0.0.1:{self.port}")

    def disconnect(self) -> None:
        """Abort all connections and refuse new ones."""
        self._is_disconnected = True
        for writer in list(self._open):
            writer.transport.abort()

    def restore(self) -> None:
        """Accept connections again."""
        self._is_disconnected = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until one side closes it."""
        if self._is_disconnected:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            inner, outer = await asyncio.open_connection(self._host, self._port)
            self._open |= {writer, outer}
            copying = [
                asyncio.ensure_future(self._copy(reader, outer, 0)),
                asyncio.ensure_future(self._copy(inner, writer)),
            ]
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for task in copying:
                task.cancel()
            outer.transport.abort()
            writer.close()  # an abort would drop the end of an answer after which the engine closes its connection
            await writer.wait_closed()
            self._open -= {writer, outer}
        writer.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(1 << 16):
                await asyncio.sleep(self.delay_s if delay_s is None else delay_s)
                writer.write(piece)
                await writer.drain()


@contextlib.asynccontextmanager
async def slow_proxy(url: str) -> AsyncIterator[SlowProxy]:
    """Start a proxy in front of the engine at a URL."""
    proxy = SlowProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.disconnect()
