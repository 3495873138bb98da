"""The hosts of a Memcached ring: each has a time limit and a circuit breaker of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from matinee.drivers.cache.client import engine_breaker
from matinee.drivers.engine import EngineUnavailable, WrongVersion
from matinee.drivers.memcached import Memcached, Reply

_CHECK_TIMEOUT_S = 1.0


class Host:
    """One Memcached, in a zone. `connect_s` limits a connection attempt."""

    def __init__(self, zone: str, name: str, *, connect_s: float) -> None:
        hostname, _, port = name.rpartition(":")
        self.zone = zone
        self.name = name
        self.client = Memcached(hostname, int(port), connect_s=connect_s)
        self.breaker = engine_breaker()


class HostPool:
    """All hosts of a ring. `timeout_s` limits one request to one host."""

    def __init__(self, hosts: Iterable[Host], *, timeout_s: float) -> None:
        self.hosts = list(hosts)
        self._timeout_s = timeout_s

    async def request(self, host: Host, request: bytes) -> Reply | None:
        """Return the reply of a host; None if it does not answer or its breaker is open."""
        if not host.breaker.allows(time.monotonic()):
            return None
        host.breaker.begin()
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await host.client.request(request)
        except (EngineUnavailable, TimeoutError):
            host.breaker.fail(time.monotonic())
            return None
        except BaseException:
            host.breaker.abstain()
            raise
        host.breaker.succeed()
        return reply

    async def check(self) -> None:
        """Check every host. Raises EngineUnavailable with the names of those that do not answer, WrongVersion."""
        checks = (asyncio.wait_for(host.client.check(), _CHECK_TIMEOUT_S) for host in self.hosts)
        results = await asyncio.gather(*checks, return_exceptions=True)
        failed = {host.name: error for host, error in zip(self.hosts, results, strict=True) if error is not None}
        for error in failed.values():
            if isinstance(error, WrongVersion):
                raise error
        if failed:
            detail = f"Hosts of the Memcached ring do not answer: {', '.join(failed)}."
            raise EngineUnavailable(engine="memcached", detail=detail)

    def close(self) -> None:
        """Close all connections."""
        for host in self.hosts:
            host.client.close()
