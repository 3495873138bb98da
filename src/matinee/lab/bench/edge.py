"""The edge beside nginx: CPU time per gigabyte of 4 MiB segments, and per token check.

Both servers have one process, the same files and the same clients over loopback, in turns. Their CPU time is what the
kernel accounts to the process, so it does not include the clients.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import uvloop

from matinee.edge.adapters.disk import DiskCacheStore
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.adapters.objects import ObjectStoreUpstream
from matinee.edge.api import EdgeSettings
from matinee.edge.model.addresses import parse_address
from matinee.edge.server.links import LinkVerifier
from matinee.edge.server.worker import run_worker
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import mint_path_token
from matinee.kit.ids import EdgeId
from matinee.lab.bench import nginx
from matinee.lab.bench.harness import Bench, Call, Variant, cpu_clock, measure_in_turns, time_in_turns
from matinee.lab.bench.nginx import ServerProcess

SEGMENT_BYTES = 4 << 20
_SEGMENTS = 16
_CLIENTS = 8
_KEY = b"a key for the length of a bench!"
_SCOPE = "assets/ast_bench"
_CPU_RATIO_GOAL = 1.2
_CHECK_US_GOAL = 5.0


async def measure(bench: Bench) -> None:
    """Measure; without nginx there is no baseline."""
    origin = bench.folder / "origin"
    _make_segments(origin)
    edge = bench.stack.enter_context(_start_edge(bench.folder))
    servers, token = [edge], _mint_token(0)
    calls = {"edge": _fetch_from(edge, f"/t/{token}")}
    if nginx.is_available():
        servers.append(bench.stack.enter_context(nginx.serve(origin, bench.folder / "nginx")))
        calls["nginx sendfile, no token"] = _fetch_from(servers[1], "")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_CLIENTS))
    ours, *baselines = await time_in_turns(
        calls,
        count=bench.size(160, 16),
        rounds=bench.size(7, 1),
        in_flight=_CLIENTS,
        parts=SEGMENT_BYTES / 1e9,
        clock=cpu_clock(*(server.pid for server in servers)),  # only one of them works at a time
    )
    baseline = next(iter(baselines), None)
    bench.report("CPU per GB, 4 MiB segments", ours, "s/GB", baseline=baseline, max_ratio=_CPU_RATIO_GOAL)
    await _measure_check(bench)


def _fetch_from(server: ServerProcess, prefix: str) -> Call:
    """Return a call that fetches a segment over one of some persistent connections, in a thread."""
    connections = deque(http.client.HTTPConnection("127.0.0.1", server.port) for _ in range(_CLIENTS))

    def fetch(number: int) -> None:
        connection, buffer = connections.popleft(), bytearray(1 << 20)
        connection.request("GET", f"{prefix}/{_SCOPE}/v/{number % _SEGMENTS}.m4s")
        response = connection.getresponse()
        size = 0
        while got := response.readinto(buffer):
            size += got
        if response.status != 200 or size != SEGMENT_BYTES:
            raise ConnectionError(f"{response.status}, {size} bytes")
        connections.append(connection)

    return lambda number: asyncio.to_thread(fetch, number)


async def _measure_check(bench: Bench) -> None:
    """Measure what a token adds to a request: the check and the longer path, beside a path without a token.

    A link opens the hundreds of segments of a session: its first check computes an HMAC, later ones find it cached.
    Measured in this process, because a few microseconds are lost in the noise of a connection.
    """
    count, rounds = bench.size(2000, 100), bench.size(7, 1)
    plain = [f"/art/v/{n % _SEGMENTS}.m4s" for n in range(count)]
    with_token = [f"/t/{_mint_token(n)}/{_SCOPE}/v/{n % _SEGMENTS}.m4s" for n in range(count)]

    def check(targets: list[str], *, is_cached: bool = False) -> Variant:
        async def run_turn(_: int) -> float:
            links = LinkVerifier((_KEY,), SystemClock())
            if is_cached:
                _check_s(links, targets)
            return _check_s(links, targets)

        return run_turn

    variants = {"none": check(plain), "first": check(with_token), "cached": check(with_token, is_cached=True)}
    none, first, cached = await measure_in_turns(variants, rounds=rounds)
    bench.report("token check, cached link", cached.least - none.least, "µs", max_value=_CHECK_US_GOAL)
    bench.report("token check, first of a link", first.least - none.least, "µs", max_value=_CHECK_US_GOAL)


def _check_s(links: LinkVerifier, targets: list[str]) -> float:
    started_s = time.thread_time()
    for target in targets:
        address = parse_address(target)
        if address is None or (address.scope and not links.is_valid(address.token, address.scope)):
            raise ValueError(f"refused: {target}")
    return (time.thread_time() - started_s) / len(targets)


def _mint_token(number: int) -> str:
    return mint_path_token(_KEY, _SCOPE, int(time.time()) + 3600 + number)


def _make_segments(origin: Path) -> None:
    folder = origin / _SCOPE / "v"
    folder.mkdir(parents=True)
    for number in range(_SEGMENTS):
        (folder / f"{number}.m4s").write_bytes(os.urandom(SEGMENT_BYTES))


@contextmanager
def _start_edge(root: Path) -> Iterator[ServerProcess]:
    """Run an edge in a process of its own, which writes its port."""
    command = [sys.executable, "-m", "matinee.lab.bench.edge", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield ServerProcess(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()


async def _run_edge(root: Path) -> None:
    settings = EdgeSettings(
        edge_id=EdgeId("edg_bench"),
        cache_dir=root / "cache",
        upstream=(root / "origin").as_uri(),
        token_keys=(_KEY,),
    )
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    worker = run_worker(
        settings,
        store=DiskCacheStore(settings.cache_dir, settings.cache_limit_bytes),
        evictor=DiskEvictor(settings.cache_dir, settings.cache_limit_bytes),
        metrics=FileEdgeMetrics(settings.cache_dir),
        upstream=ObjectStoreUpstream(settings.upstream),
        clock=SystemClock(),
        steering=None,
    )
    async with worker as server:
        print(server.port, flush=True)  # noqa: T201  # for the process that measures
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(_run_edge(Path(sys.argv[1])))
