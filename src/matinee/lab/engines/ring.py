"""A ring of Cassandra nodes that can be killed one by one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from matinee.lab.engines.cassandra import Cassandra, has_keyspace, host
from matinee.lab.engines.engine import EngineFailed, EngineMissing, free_ports, open_location
from matinee.lab.engines.process import EngineProcess

START_S = 400.0
AGREE_S = 30.0


class Ring:
    """Cassandra on `size` neighbouring loopback addresses; a keyspace has a replica on every node."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        hosts = tuple(host(node) for node in range(size))
        _check(hosts)
        shared = free_ports(("client", "storage"), hosts)  # drivers and nodes expect the same ports on all nodes
        self.nodes: list[EngineProcess] = []
        for node in range(size):
            engine, path = Cassandra(node=node, size=size), folder / f"node-{node + 1}"
            shared = {name: open_location(engine, path, host=hosts[node], ports=shared).ports[name] for name in shared}
            self.nodes.append(EngineProcess(engine, path))

    def url(self, namespace: str) -> str:
        """Create a keyspace unless it exists, and return its URL for settings."""
        url = self.nodes[0].url(namespace)
        deadline_s = time.monotonic() + AGREE_S
        while not all(has_keyspace(node.location, namespace) for node in self.nodes if node.pid):
            if time.monotonic() > deadline_s:
                raise EngineFailed(engine="cassandra", detail=f"not every node has the keyspace {namespace}")
        return url

    def start(self) -> Self:
        """Start all nodes, in parallel, and wait until each knows all others. Idempotent."""
        self._for_each(lambda node: node.start(START_S))
        return self

    def stop(self) -> None:
        """Stop all nodes."""
        self._for_each(EngineProcess.stop)

    def kill(self) -> None:
        """Kill all nodes."""
        self._for_each(EngineProcess.kill)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def _for_each(self, action: Callable[[EngineProcess], object]) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(action, self.nodes))


def _check(hosts: tuple[str, ...]) -> None:
    """Check that the loopback interface has these addresses; on macOS it has one. Raises EngineMissing."""
    for address in hosts:
        with socket.socket() as probe:
            try:
                probe.bind((address, 0))
            except OSError as error:
                detail = f"a ring needs the address {address}: sudo ifconfig lo0 alias {address}"
                raise EngineMissing(engine="cassandra", detail=detail) from error
