"""The hosts of a Memcached ring, and which generation of each one's values is good.

A host that missed an invalidation must not be read again as if nothing had been. So every host has a generation: it
stands in all keys on that host, and a copy of all generations lies on every host. They only rise, the greatest copy
counts, and everyone looks at them at least every `VIEW_S`:

- An even generation (2 in the beginning): the host is in use, and what lies there under an older one is invisible.
- An odd one: the host is out. Whoever could not tell it of an invalidation has put it there. Whoever reaches it next
  raises it by one: it is in use again, cold.

Only where two processes reach no host in common can one of them read what the other has put out of use.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from matinee.drivers.cache.breaker import Breaker
from matinee.drivers.engine import EngineUnavailable, WrongVersion
from matinee.drivers.memcached import LONGEST_S, Memcached, Reply, get, store
from matinee.kit import log
from matinee.kit.clock import Clock, to_ms

VIEW_S = 0.25
# After this time everyone has looked again: they look every `VIEW_S`, and use no view older than twice that.
SETTLED_S = 2 * VIEW_S + 0.1
_FIRST = 2
_CHECK_S = 1.0
_log = log.get()


class Host:
    """One Memcached, with its zone, its breaker, and the generation of its values."""

    def __init__(self, zone: str, name: str) -> None:
        place, _, port = name.rpartition(":")
        self.zone = zone
        self.name = name
        self.client = Memcached(place, int(port))
        self.breaker = Breaker()
        self.generation = _FIRST

    @property
    def is_out(self) -> bool:
        """Whether nobody may use it."""
        return self.generation % 2 == 1


class Hosts:
    """All hosts of a ring, as this process sees them. `limit_s` bounds one exchange with one host."""

    def __init__(self, hosts: Sequence[Host], *, namespace: str, clock: Clock, limit_s: float) -> None:
        self.all = list(hosts)
        self._names = [f"{namespace}:~{host.name}" for host in hosts]
        self._clock = clock
        self._limit_s = limit_s
        self._seen_s = float("-inf")
        self._looking: asyncio.Task[bool] | None = None
        self.is_cold: Callable[[Host], None] = lambda _: None

    async def ask(self, host: Host, requests: Sequence[bytes]) -> list[Reply] | None:
        """A host's replies; None where it does not answer, or did not lately."""
        if not host.breaker.lets():
            return None
        try:
            async with asyncio.timeout(self._limit_s):
                replies = await host.client.ask(requests)
        except (EngineUnavailable, TimeoutError):
            host.breaker.failed()
            return None
        host.breaker.succeeded()
        return replies

    async def ask_all(self, requests: Mapping[Host, Sequence[bytes]]) -> dict[Host, list[Reply]]:
        """The replies of those hosts that answer."""
        replies = await asyncio.gather(*(self.ask(host, asked) for host, asked in requests.items()))
        return {host: reply for host, reply in zip(requests, replies, strict=True) if reply is not None}

    async def current(self) -> None:
        """Have a view that is not too old. Raises EngineUnavailable where no host answers."""
        age_s = time.monotonic() - self._seen_s
        if age_s > 2 * VIEW_S:
            await self._looked()
        elif age_s > VIEW_S:
            self._look_once()

    async def view(self) -> bool:
        """Look now. Whether some host had to be told of a generation. Raises EngineUnavailable where no host answers."""
        started_s = time.monotonic()
        replies = await self.ask_all({host: [get(name) for name in self._names] for host in self.all})
        if not replies:
            raise EngineUnavailable(engine="memcached", detail="No host of the Memcached ring answers.")
        copies = {host: [_number(reply) for reply in theirs] for host, theirs in replies.items()}
        for place, host in enumerate(self.all):
            host.generation = max(host.generation, *(copy[place] for copy in copies.values()))
        back = [host for host in copies if host.is_out]
        for host in back:
            host.generation += 1
        told = await self._spread(copies)
        self._seen_s = started_s
        for place, host in enumerate(self.all):
            if host in back or (host in copies and copies[host][place] == 0):
                _log.info("cache.cold", host=host.name)
                self.is_cold(host)
        return told

    async def check(self) -> None:
        """Ask every host. Raises EngineUnavailable that names those which do not answer, WrongVersion."""
        checks = (asyncio.wait_for(host.client.check(), _CHECK_S) for host in self.all)
        said = await asyncio.gather(*checks, return_exceptions=True)
        for error in said:
            if isinstance(error, WrongVersion):
                raise error
        if away := [host.name for host, error in zip(self.all, said, strict=True) if isinstance(error, Exception)]:
            raise EngineUnavailable(
                engine="memcached", detail=f"Of the Memcached ring do not answer: {', '.join(away)}"
            )

    async def put_out(self, hosts: Iterable[Host]) -> None:
        """Put hosts out of use, for everyone. Raises EngineUnavailable where no other host can keep that in mind."""
        doomed = set(hosts)
        for host in doomed:
            host.generation = max(to_ms(self._clock.now()), host.generation + 1) | 1
            _log.warning("cache.put_out", host=host.name)
        copy = [
            store(name, b"%d" % host.generation, LONGEST_S) for name, host in zip(self._names, self.all, strict=True)
        ]
        kept = await self.ask_all({host: copy for host in self.all if host not in doomed})
        if not any(all(reply.code == b"HD" for reply in replies) for replies in kept.values()):
            raise EngineUnavailable(
                engine="memcached", detail="No host of the Memcached ring keeps what another one missed."
            )

    def close(self) -> None:
        """Close all connections."""
        if self._looking is not None:
            self._looking.cancel()
        for host in self.all:
            host.client.close()

    async def _looked(self) -> None:
        await asyncio.shield(self._look_once())

    def _look_once(self) -> asyncio.Task[bool]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.view())
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._looking

    async def _spread(self, copies: Mapping[Host, list[int]]) -> bool:
        """Bring the copies that are behind up to what is known. Whether there were any."""
        behind = {
            host: [
                store(name, b"%d" % one.generation, LONGEST_S)
                for name, one, copy in zip(self._names, self.all, theirs, strict=True)
                if copy < one.generation
            ]
            for host, theirs in copies.items()
        }
        behind = {host: requests for host, requests in behind.items() if requests}
        await self.ask_all(behind)
        return bool(behind)


def _number(reply: Reply) -> int:
    return int(reply.value) if reply.code == b"VA" and reply.value.isdigit() else 0
