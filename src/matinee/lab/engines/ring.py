"""A ring of Cassandra nodes that can be killed one by one."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from matinee.lab.engines.cassandra import describe_node, has_keyspace, list_hosts
from matinee.lab.engines.fleet import for_each
from matinee.lab.engines.location import EngineFailed, EngineMissing, free_ports, is_free, open_location
from matinee.lab.engines.process import EngineProcess

START_S = 400.0
AGREE_S = 30.0


class Ring:
    """Cassandra on `size` neighbouring loopback addresses; a keyspace has a replica on every node."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        hosts = list_hosts(size)
        for host in hosts:
            if not is_free(host, 0):  # macOS has one loopback address
                detail = f"a ring needs the address {host}: sudo ifconfig lo0 alias {host}"
                raise EngineMissing(engine="cassandra", detail=detail)
        shared = free_ports(("client", "storage"), hosts)  # drivers and nodes expect the same ports on all nodes
        self.nodes: list[EngineProcess] = []
        for number, host in enumerate(hosts):
            engine, path = describe_node(number, size), folder / f"node-{number + 1}"
            location = open_location(path, engine.ports, host=host, ports=shared)
            shared = {name: location.ports[name] for name in shared}
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
        for_each(lambda node: node.start(START_S), self.nodes)
        return self

    def kill(self) -> None:
        """Kill all nodes."""
        for_each(EngineProcess.kill, self.nodes)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
