"""A ring of Cassandra nodes, each of which may be lost by itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from matinee.lab.engines.cassandra import Cassandra, host, knows
from matinee.lab.engines.engine import EngineFailed, EngineMissing, free_ports, open_location
from matinee.lab.engines.process import EngineProcess

START_S = 400.0
AGREE_S = 30.0


class Ring:
    """Cassandra on `size` neighbouring loopback addresses; a keyspace has a replica on every node."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        hosts = tuple(host(node) for node in range(size))
        _check(hosts)
        shared = free_ports(("client", "storage"), hosts)  # drivers and nodes expect the same everywhere
        self.nodes: list[EngineProcess] = []
        for node in range(size):
            engine, at = Cassandra(node=node, size=size), folder / f"node-{node + 1}"
            shared = {name: open_location(engine, at, host=hosts[node], ports=shared).ports[name] for name in shared}
            self.nodes.append(EngineProcess(engine, at))

    def url(self, namespace: str) -> str:
        """The settings' URL of a keyspace, which is made where it is not there."""
        url = self.nodes[0].url(namespace)
        end = time.monotonic() + AGREE_S
        while not all(knows(node.location, namespace) for node in self.nodes if node.pid):
            if time.monotonic() > end:
                raise EngineFailed(engine="cassandra", detail=f"the ring does not agree that there is a {namespace}")
        return url

    def start(self) -> Self:
        """Start every node, side by side, and wait until each knows all others. Idempotent."""
        self._all(lambda node: node.start(START_S))
        return self

    def stop(self) -> None:
        """Ask every node to end."""
        self._all(EngineProcess.stop)

    def kill(self) -> None:
        """End every node at once."""
        self._all(EngineProcess.kill)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _all(self, deed: Callable[[EngineProcess], object]) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(deed, self.nodes))


def _check(hosts: tuple[str, ...]) -> None:
    """Raises EngineMissing where this machine's loopback has one address only, as on macOS."""
    for one in hosts:
        with socket.socket() as probe:
            try:
                probe.bind((one, 0))
            except OSError as error:
                detail = f"a ring needs the address {one}: sudo ifconfig lo0 alias {one}"
                raise EngineMissing(engine="cassandra", detail=detail) from error
