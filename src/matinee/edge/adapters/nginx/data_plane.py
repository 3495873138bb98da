"""nginx in front of the reactor, and the figures of what it served alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from pathlib import Path

from matinee.drivers.nginx import Nginx
from matinee.edge.adapters.nginx.config import Ports, write
from matinee.edge.api import EdgeSettings
from matinee.edge.ports import EdgeMetrics, Metric
from matinee.kit import log

_log = log.get()
_LOOK_S = 1.0
_DISK_LOOKS = 10
_RESTART_S = 1.0


class NginxDataPlane:
    """Fulfils `DataPlane`. nginx is started again when it ends by itself."""

    def __init__(self, settings: EdgeSettings, *, metrics: EdgeMetrics) -> None:
        self.port = settings.port
        self._settings = settings
        self._metrics = metrics
        self._folder = settings.cache_dir / "nginx"
        self._nginx = Nginx(self._folder)
        self._hits: asyncio.DatagramTransport | None = None
        self._status_port = 0
        self._cpu_ms = 0

    async def start(self, *, filler_port: int) -> None:
        loop = asyncio.get_running_loop()
        self._hits, _ = await loop.create_datagram_endpoint(lambda: _Hits(self._metrics), local_addr=("127.0.0.1", 0))
        log_port = self._hits.get_extra_info("sockname")[1]
        self.port = self.port or _free_port(self._settings.host)
        self._status_port = _free_port("127.0.0.1")
        ports = Ports(public=self.port, status=self._status_port, filler=filler_port, log=log_port)
        await asyncio.to_thread(write, self._folder, self._settings, ports)
        await self._nginx.start()

    async def keep(self) -> None:
        """Watch it for ever: figures onto the metrics, and a new start when it has ended."""
        ended, looks = asyncio.ensure_future(self._nginx.wait()), 0
        try:
            while True:
                await asyncio.wait([ended], timeout=_LOOK_S)
                if ended.done():
                    _log.warning("nginx.ended", status=ended.result())
                    ended = asyncio.ensure_future(self._restarted())
                    continue
                await self._account(disk=looks % _DISK_LOOKS == 0)
                looks += 1
        finally:
            ended.cancel()

    async def stop(self, grace_s: float) -> None:
        await self._nginx.stop(grace_s)
        if self._hits is not None:
            self._hits.close()

    async def _restarted(self) -> int:
        while True:
            await asyncio.sleep(_RESTART_S)
            try:
                await self._nginx.start()
            except Exception as error:  # its port may not be free yet
                _log.warning("nginx.not_started", error=repr(error))
                continue
            self._cpu_ms = 0
            return await self._nginx.wait()

    async def _account(self, *, disk: bool) -> None:
        metrics = self._metrics
        metrics.set(Metric.CONNECTIONS, await self._connections())
        spent_ms = sum(map(_cpu_ms, self._nginx.list_pids()))
        metrics.add(Metric.CPU_MS, max(0, spent_ms - self._cpu_ms))
        self._cpu_ms = spent_ms
        if disk:
            metrics.set(Metric.DISK_USED_BYTES, await asyncio.to_thread(_used_bytes, self._folder / "cache"))

    async def _connections(self) -> int:
        """Clients that are connected now; 0 while nginx does not say."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._status_port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                answer = await reader.read()
                writer.close()
            if found := re.search(rb"Active connections: (\d+)", answer):
                return max(0, int(found[1]) - 1)  # without this one
        return 0


class _Hits(asyncio.DatagramProtocol):
    """Takes nginx's word for what it served from its cache: a line each, its end the bytes sent."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics

    def datagram_received(self, data: bytes, addr: object) -> None:
        sent = data.rsplit(b" ", 1)[-1]
        if sent.isdigit():
            self._metrics.add(Metric.REQUESTS)
            self._metrics.add(Metric.HITS)
            self._metrics.add(Metric.SENT_BYTES, int(sent))


def _cpu_ms(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return round((int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK"))
    return 0


def _used_bytes(cache: Path) -> int:
    used = 0
    for path in cache.rglob("*"):
        with contextlib.suppress(OSError):
            stat = path.lstat()
            used += stat.st_blocks * 512 if path.is_file() else 0
    return used


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
