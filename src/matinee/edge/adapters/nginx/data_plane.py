"""Runs nginx in front of the built-in server, and records the metrics of the requests that it served itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path

from matinee.drivers.nginx import Nginx
from matinee.edge.adapters.nginx.config import NginxPorts, write
from matinee.edge.api import EdgeSettings
from matinee.edge.ports import EdgeMetrics, Metric
from matinee.kit import log

_log = log.get()
_INTERVAL_S = 1.0
_ROUNDS_PER_DISK_SCAN = 10
_RESTART_DELAY_S = 1.0


class NginxDataPlane:
    """Fulfils `DataPlane`. nginx is restarted when it exits."""

    def __init__(self, settings: EdgeSettings, *, metrics: EdgeMetrics) -> None:
        self.port = settings.port
        self._settings = settings
        self._metrics = metrics
        self._folder = settings.cache_dir / "nginx"
        self._nginx = Nginx(self._folder)
        self._hit_log: asyncio.DatagramTransport | None = None
        self._status_port = 0
        self._cpu_ms = 0

    async def start(self, *, filler_port: int) -> None:
        loop = asyncio.get_running_loop()
        self._hit_log, _ = await loop.create_datagram_endpoint(
            lambda: _HitLog(self._metrics), local_addr=("127.0.0.1", 0)
        )
        log_port = self._hit_log.get_extra_info("sockname")[1]
        self.port = self.port or _find_free_port(self._settings.host)
        self._status_port = _find_free_port("127.0.0.1")
        ports = NginxPorts(public=self.port, status=self._status_port, filler=filler_port, log=log_port)
        await asyncio.to_thread(write, self._folder, self._settings, ports)
        await self._nginx.start()

    async def run(self) -> None:
        exited, rounds = asyncio.ensure_future(self._nginx.wait()), 0
        try:
            while True:
                await asyncio.wait([exited], timeout=_INTERVAL_S)
                if exited.done():
                    _log.warning("nginx.exited", status=exited.result())
                    exited = asyncio.ensure_future(self._restart())
                    continue
                await self._record_metrics(scan_disk=rounds % _ROUNDS_PER_DISK_SCAN == 0)
                rounds += 1
        finally:
            exited.cancel()

    async def stop(self, grace_s: float) -> None:
        await self._nginx.stop(grace_s)
        if self._hit_log is not None:
            self._hit_log.close()

    async def _restart(self) -> int:
        """Start nginx again, retrying until it succeeds, and wait for its exit status."""
        while True:
            await asyncio.sleep(_RESTART_DELAY_S)
            try:
                await self._nginx.start()
            except Exception as error:  # for example, its port is still in use
                _log.warning("nginx.start_failed", error=repr(error))
                continue
            self._cpu_ms = 0
            return await self._nginx.wait()

    async def _record_metrics(self, *, scan_disk: bool) -> None:
        metrics = self._metrics
        metrics.set(Metric.CONNECTIONS, await self._count_connections())
        spent_ms = sum(map(_read_cpu_ms, self._nginx.list_pids()))
        metrics.add(Metric.CPU_MS, max(0, spent_ms - self._cpu_ms))
        self._cpu_ms = spent_ms
        if scan_disk:
            metrics.set(Metric.DISK_USED_BYTES, await asyncio.to_thread(_measure_disk, self._folder / "cache"))

    async def _count_connections(self) -> int:
        """Ask the status page for the number of open connections; 0 if it does not answer."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_INTERVAL_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._status_port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                page = await reader.read()
                writer.close()
            if found := re.search(rb"Active connections: (\d+)", page):
                return max(0, int(found[1]) - 1)  # without this one
        return 0


class _HitLog(asyncio.DatagramProtocol):
    """Receives nginx's access log of cache hits: one line each, ending with the bytes sent."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics

    def datagram_received(self, data: bytes, addr: object) -> None:
        sent = data.rsplit(b" ", 1)[-1]
        if sent.isdigit():
            self._metrics.add(Metric.REQUESTS)
            self._metrics.add(Metric.HITS)
            self._metrics.add(Metric.SENT_BYTES, int(sent))


def _read_cpu_ms(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return round((int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK"))
    return 0


def _measure_disk(folder: Path) -> int:
    used = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            used += path.lstat().st_blocks * 512 if path.is_file() else 0
    return used


def _find_free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])
