"""The edge beside nginx: processor time per gigabyte of 4 MB segments, and per token check.

Both servers have one process, the same files and the same clients over loopback, in turns; their processor time is
what the kernel accounts to the process, so what the clients cost is not in it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
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
from multiprocessing.connection import Connection
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
from matinee.lab.bench.figure import Figure, compared, measured

AREA = "edge"
SEGMENT_BYTES = 4 << 20
_SEGMENTS = 16
_CLIENTS = 8
_KEY = b"a key for the length of a bench!"
_SCOPE = "assets/ast_bench"
_CPU_RATIO_GOAL = 1.2
_CHECK_US_GOAL = 5.0

Targets = Callable[[int], str]


def figures(*, rounds: int = 7, requests: int = 160, checks: int = 2000) -> list[Figure]:
    """Measure; `requests` are those of 4 MB in each round, `checks` the tokens in each. nginx may be missing."""
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place, ExitStack() as stack:
        root = Path(place)
        _make_segments(root / "origin")
        edge = stack.enter_context(_edge(root))
        nginx = stack.enter_context(_nginx(root)) if shutil.which("nginx") else None
        return [_per_gigabyte(edge, nginx, rounds, requests), *_per_check(rounds, checks)]


def _per_gigabyte(edge: _Server, nginx: _Server | None, rounds: int, requests: int) -> Figure:
    token = _token(0)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds + 1):
        ours.append(_cpu_s(edge, requests, lambda n: f"/t/{token}/{_SCOPE}/v/{n % _SEGMENTS}.m4s"))
        if nginx is not None:
            theirs.append(_cpu_s(nginx, requests, lambda n: f"/{_SCOPE}/v/{n % _SEGMENTS}.m4s"))
    gigabytes = requests * SEGMENT_BYTES / 1e9
    value = statistics.median(ours[1:]) / gigabytes  # the first round fills the cache
    if not theirs:
        return measured(AREA, "cpu per GB, 4 MB segments", value, "s/GB")
    baseline = statistics.median(theirs[1:]) / gigabytes
    return compared(
        AREA,
        "cpu per GB, 4 MB segments",
        value,
        "s/GB",
        baseline=baseline,
        baseline_name="nginx sendfile, no token",
        goal=_CPU_RATIO_GOAL,
    )


def _per_check(rounds: int, checks: int) -> list[Figure]:
    """What a token costs a request: the check itself and the longer path, against a path that takes none.

    A link opens the hundreds of segments of a session: its first check is an HMAC, the others find it remembered.
    Measured in this process, because on the wire a few microseconds drown in what else the machine does.
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
        measured(AREA, "token check, remembered link", min(again) - without, "µs", goal=_CHECK_US_GOAL),
        measured(AREA, "token check, first of a link", min(first) - without, "µs", goal=_CHECK_US_GOAL),
    ]


def _check_us(links: LinkVerifier, targets: list[str]) -> float:
    began_s = time.thread_time()
    for target in targets:
        address = parse_address(target)
        if address is None or (address.scope and not links.is_valid(address.token, address.scope)):
            raise ValueError(f"refused: {target}")
    return (time.thread_time() - began_s) / len(targets) * 1e6


def _token(number: int) -> str:
    return mint_path_token(_KEY, _SCOPE, int(time.time()) + 3600 + number)


def _make_segments(origin: Path) -> None:
    for folder in (origin / _SCOPE / "v", origin / "public" / "art" / "v"):
        folder.mkdir(parents=True)
        for number in range(_SEGMENTS):
            (folder / f"{number}.m4s").write_bytes(os.urandom(SEGMENT_BYTES))


# Clients.


class _Server:
    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port

    def cpu_s(self) -> float:
        """Processor time so far, user and system, of threads that have ended as well."""
        if sys.platform == "linux":
            return time.clock_gettime(~self.pid << 3 | 2)  # what clock_getcpuclockid(3) makes of a process id
        spent = subprocess.run(["ps", "-o", "time=", "-p", str(self.pid)], capture_output=True, text=True, check=True)
        return sum(float(part) * 60.0**at for at, part in enumerate(reversed(spent.stdout.strip().split(":"))))


def _cpu_s(server: _Server, count: int, target: Targets) -> float:
    """What the server spends on `count` requests, shared by a few clients that keep their connections."""
    numbers = iter(range(count))
    before = server.cpu_s()
    failures: list[BaseException] = []
    threads = [threading.Thread(target=_ask, args=(server.port, numbers, target, failures)) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return server.cpu_s() - before


def _ask(port: int, numbers: Iterator[int], target: Targets, failures: list[BaseException]) -> None:
    buffer = bytearray(1 << 20)
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for number in numbers:  # the interpreter's lock makes each number go to one client
                sock.sendall(f"GET {target(number)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
                _take_answer(sock, buffer)
    except BaseException as error:
        failures.append(error)


def _take_answer(sock: socket.socket, buffer: bytearray) -> None:
    got = sock.recv_into(buffer)
    while (end := buffer.find(b"\r\n\r\n", 0, got)) < 0:
        more = sock.recv_into(memoryview(buffer)[got:])
        if more == 0:
            raise ConnectionError("the server hung up")
        got += more
    if not buffer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(bytes(buffer[:got]).decode("latin-1"))
    left = SEGMENT_BYTES - (got - end - 4)
    while left > 0:
        if (more := sock.recv_into(buffer, min(left, len(buffer)))) == 0:
            raise ConnectionError("the server hung up")
        left -= more


# Servers.


@contextmanager
def _edge(root: Path) -> Iterator[_Server]:
    settings = EdgeSettings(
        edge_id=EdgeId("edg_bench"),
        cache_dir=root / "cache",
        upstream=(root / "origin").as_uri(),
        token_keys=(_KEY,),
    )
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run_edge, args=(settings, theirs))
    process.start()
    try:
        if not ours.poll(30):
            raise TimeoutError("the edge did not start")
        yield _Server(process.pid or 0, ours.recv())
    finally:
        process.terminate()
        process.join()


def _run_edge(settings: EdgeSettings, started: Connection) -> None:
    async def run() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await run_worker(
            settings,
            store=DiskCacheStore(settings.cache_dir, settings.cache_limit_bytes),
            evictor=DiskEvictor(settings.cache_dir, settings.cache_limit_bytes),
            metrics=FileEdgeMetrics(settings.cache_dir),
            upstream=ObjectStoreUpstream(settings.upstream),
            clock=SystemClock(),
            steering=None,
            stopping=stopping,
            on_started=lambda server: started.send(server.port),
        )

    uvloop.run(run())


@contextmanager
def _nginx(root: Path) -> Iterator[_Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    config = root / "nginx.conf"
    config.write_text(_nginx_config(root, port))
    process = subprocess.Popen(["nginx", "-p", str(root), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield _Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def _nginx_config(root: Path, port: int) -> str:
    folders = " ".join(
        f"{kind}_temp_path {root}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; master_process off; worker_processes 1;
pid {root}/nginx.pid; error_log {root}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {folders}
    server {{ listen 127.0.0.1:{port}; root {root}/origin; }}
}}
"""


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("nginx did not start")
