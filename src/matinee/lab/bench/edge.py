"""The edge beside nginx: CPU time per gigabyte of 4 MiB segments, and per token check.

Both servers have one process, the same files and the same clients over loopback, in turns. Their CPU time is what the
kernel accounts to the process, so it does not include the clients.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench

AREA = "edge"
SEGMENT_BYTES = 4 << 20
_SEGMENTS = 16
_CLIENTS = 8
_KEY = b"a key for the length of a bench!"
_SCOPE = "assets/ast_bench"
_CPU_RATIO_GOAL = 1.2
_CHECK_US_GOAL = 5.0

Targets = Callable[[int], str]


def measure(bench: Bench) -> list[Figure]:
    """Measure; without nginx there is no baseline."""
    rounds, requests, checks = bench.size(7, 1), bench.size(160, 16), bench.size(2000, 100)
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder, ExitStack() as stack:
        root = Path(folder)
        _make_segments(root / "origin")
        edge = stack.enter_context(_start_edge(root))
        baseline = _start_nginx(stack, root) if nginx.is_available() else None
        return [_measure_gigabyte(edge, baseline, rounds, requests), *_measure_check(rounds, checks)]


def _measure_gigabyte(edge: _Server, nginx: _Server | None, rounds: int, requests: int) -> Figure:
    token = _token(0)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds + 1):
        ours.append(_cpu_s(edge, requests, lambda n: f"/t/{token}/{_SCOPE}/v/{n % _SEGMENTS}.m4s"))
        if nginx is not None:
            theirs.append(_cpu_s(nginx, requests, lambda n: f"/{_SCOPE}/v/{n % _SEGMENTS}.m4s"))
    gigabytes = requests * SEGMENT_BYTES / 1e9
    value = statistics.median(ours[1:]) / gigabytes  # the first round fills the cache
    name = "CPU per GB, 4 MiB segments"
    if not theirs:
        return make_figure(AREA, name, value, "s/GB")
    baseline, baseline_name = statistics.median(theirs[1:]) / gigabytes, "nginx sendfile, no token"
    return make_figure(AREA, name, value, "s/GB", baseline=baseline, baseline_name=baseline_name, goal=_CPU_RATIO_GOAL)


def _measure_check(rounds: int, checks: int) -> list[Figure]:
    """Measure what a token adds to a request: the check and the longer path, beside a path without a token.

    A link opens the hundreds of segments of a session: its first check computes an HMAC, later ones find it cached.
    Measured in this process, because a few microseconds are lost in the noise of a connection.
    """
    art, first, again = [], [], []
    for turn in range(rounds):
        links = LinkVerifier((_KEY,), SystemClock())
        targets = [f"/t/{_token(turn * checks + n)}/{_SCOPE}/v/{n % _SEGMENTS}.m4s" for n in range(checks)]
        art.append(_check_us(links, [f"/art/v/{n % _SEGMENTS}.m4s" for n in range(checks)]))
        first.append(_check_us(links, targets))
        again.append(_check_us(links, targets))
    without = min(art)
    return [
        make_figure(AREA, "token check, cached link", min(again) - without, "µs", goal=_CHECK_US_GOAL),
        make_figure(AREA, "token check, first of a link", min(first) - without, "µs", goal=_CHECK_US_GOAL),
    ]


def _check_us(links: LinkVerifier, targets: list[str]) -> float:
    started_s = time.thread_time()
    for target in targets:
        address = parse_address(target)
        if address is None or (address.scope and not links.is_valid(address.token, address.scope)):
            raise ValueError(f"refused: {target}")
    return (time.thread_time() - started_s) / len(targets) * 1e6


def _token(number: int) -> str:
    return mint_path_token(_KEY, _SCOPE, int(time.time()) + 3600 + number)


def _make_segments(origin: Path) -> None:
    for folder in (origin / _SCOPE / "v", origin / "public" / "art" / "v"):
        folder.mkdir(parents=True)
        for number in range(_SEGMENTS):
            (folder / f"{number}.m4s").write_bytes(os.urandom(SEGMENT_BYTES))


class _Server:
    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def cpu_s(self) -> float:
        """Return the CPU time so far, user and system, including threads that have ended."""
        if sys.platform == "linux":
            return time.clock_gettime(~self.pid << 3 | 2)  # clock_getcpuclockid(3)
        spent = subprocess.run(["ps", "-o", "time=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return sum(float(part) * 60.0**at for at, part in enumerate(reversed(spent.stdout.strip().split(":"))))


def _cpu_s(server: _Server, count: int, target: Targets) -> float:
    """Return what the server spends on `count` requests of a few clients with persistent connections."""
    numbers = iter(range(count))
    before = server.cpu_s()
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=_request, args=(server.port, numbers, target, failures)) for _ in range(_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return server.cpu_s() - before


def _request(port: int, numbers: Iterator[int], target: Targets, failures: list[BaseException]) -> None:
    buffer = bytearray(1 << 20)
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for number in numbers:  # the GIL hands each number to one client
                sock.sendall(f"GET {target(number)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
                _read_response(sock, buffer)
    except BaseException as error:
        failures.append(error)


def _read_response(sock: socket.socket, buffer: bytearray) -> None:
    got = sock.recv_into(buffer)
    while (end := buffer.find(b"\r\n\r\n", 0, got)) < 0:
        more = sock.recv_into(memoryview(buffer)[got:])
        if more == 0:
            raise ConnectionError("the server closed the connection")
        got += more
    if not buffer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(bytes(buffer[:got]).decode("latin-1"))
    left = SEGMENT_BYTES - (got - end - 4)
    while left > 0:
        if (more := sock.recv_into(buffer, min(left, len(buffer)))) == 0:
            raise ConnectionError("the server closed the connection")
        left -= more


@contextmanager
def _start_edge(root: Path) -> Iterator[_Server]:
    """Run an edge in a process of its own, which writes its port."""
    command = [sys.executable, "-m", "matinee.lab.bench.edge", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield _Server(process.pid, int(process.stdout.readline()))
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


def _start_nginx(stack: ExitStack, root: Path) -> _Server:
    return _Server(*stack.enter_context(nginx.serve(root / "origin", root / "nginx")))


if __name__ == "__main__":
    uvloop.run(_run_edge(Path(sys.argv[1])))
