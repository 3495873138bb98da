"""A service on real sockets with any number of instances, and a client that finds them in a registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from random import Random
from typing import Any, Protocol

import msgspec

from matinee.drivers.asgi import Server
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.http import HttpClient
from matinee.drivers.metrics import Metrics
from matinee.kit import context, ids
from matinee.kit.clock import SystemClock
from matinee.kit.context import Context, current
from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem
from matinee.kit.tracing import Operation, Span, Tracer
from matinee.mesh.adapters.memory import MemoryRegistry
from matinee.mesh.api import Instance, idempotent, long_running
from matinee.mesh.client import MeshClient, bind_remote
from matinee.mesh.host import Host
from matinee.mesh.membership import Directory, Membership
from matinee.mesh.service import Services
from matinee.mesh.signature import Signature

KEY = "0123456789abcdef"


class Description(msgspec.Struct, frozen=True):
    """The context of a call as the service sees it."""

    name: str
    trace_id: str
    remaining_ms: int | None


class NoSeats(Problem, status=409):
    """There are no seats left."""

    row: int
    names: list[str]


class Theatre(Protocol):
    """A service with methods of every kind."""

    @idempotent
    async def describe(self, *, name: str = "") -> Description: ...

    async def book(self, *, row: int) -> int: ...

    async def refuse(self, *, row: int) -> None: ...

    async def crash(self) -> None: ...

    @idempotent
    async def linger(self, *, name: str = "") -> str: ...

    async def linger_once(self) -> str: ...

    @idempotent
    @long_running(limit_ms=60_000)
    async def wait(self) -> str: ...


class Playhouse:
    """One implementation. Lingering calls wait for `gate`; `booked` lists what was executed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.booked: list[int] = []
        self.lingered = 0
        self.is_store_unavailable = False

    async def describe(self, *, name: str = "") -> Description:
        if self.is_store_unavailable:
            raise EngineUnavailable(engine="mariadb", retry_after_ms=3000)
        return Description(self.name, current().trace_id, current().remaining_ms())

    async def book(self, *, row: int) -> int:
        if self.is_store_unavailable:
            raise EngineUnavailable(engine="mariadb", retry_after_ms=3000)
        self.booked.append(row)
        return row

    async def refuse(self, *, row: int) -> None:
        raise NoSeats(row=row, names=["a"], detail="Come again.")

    async def crash(self) -> None:
        raise RuntimeError("details, not for the caller")

    async def linger(self, *, name: str = "") -> str:
        self.lingered += 1
        self.entered.set()
        await self.gate.wait()
        return self.name

    async def linger_once(self) -> str:
        return await self.linger()

    async def wait(self) -> str:
        return await self.linger()


class Spans:
    """Keeps all spans."""

    dropped = 0

    def __init__(self) -> None:
        self.recorded: list[Span] = []

    @contextmanager
    def trace(self) -> Iterator[None]:
        """Run a block in a trace whose spans, except the first, are kept here."""
        tracer = Tracer(sink=self, sampling=1.0, clock=SystemClock(), rng=Random(1))
        here = context.current()
        span = tracer.start(Operation("test"), trace_id=here.trace_id)
        assert span is not None
        with context.activate(msgspec.structs.replace(here, trace_id=span.trace.trace_id, span=span)):
            yield

    def calls(self) -> list[tuple[Any, ...]]:
        """Return caller, domain, method, kind, outcome and attempts of every recorded call."""
        names = "matinee.caller", "rpc.service", "rpc.method"
        return [
            (*(s.operation.attributes[name] for name in names), s.operation.kind, s.outcome, attempts_of(s))
            for s in self.recorded
        ]

    def record(self, span: Span) -> None:
        self.recorded.append(span)


def attempts_of(span: Span) -> int:
    """Return the number of attempts of a remote call."""
    return int(span.attributes.get("matinee.attempts", 1))


class Running:
    """One running instance."""

    def __init__(self, playhouse: Playhouse, host: Host, server: Server, membership: Membership) -> None:
        self.playhouse = playhouse
        self.host = host
        self.server = server
        self.membership = membership


class TracedClient(MeshClient):
    """A client each of whose calls is in a trace."""

    spans: Spans

    async def call(self, caller: str, domain: str, signature: Signature, arguments: dict[str, Any]) -> Any:
        with self.spans.trace():
            return await super().call(caller, domain, signature, arguments)


class Rig:
    """Instances and a client."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.clock = SystemClock()
        self.registry = MemoryRegistry()
        self.directory = Directory(registry=self.registry, clock=self.clock)
        self.spans = Spans()
        self.running: list[Running] = []
        self._stack = AsyncExitStack()

    async def start(self, **options: Any) -> Running:
        """Start one more instance and register it."""
        playhouse = Playhouse(f"playhouse {len(self.running)}")
        metrics = Metrics()
        services = [Services(metrics).add("theatre", Theatre, playhouse)]
        host = Host(key=KEY, clock=self.clock, metrics=metrics, services=services, **options)
        server = await self._stack.enter_async_context(Server(host, graceful_s=1))
        membership = await self.register(server.address)
        self.running.append(Running(playhouse, host, server, membership))
        return self.running[-1]

    async def register(self, address: str, *services: str) -> Membership:
        """Register an address."""
        instance = Instance(
            instance_id=ids.generate(InstanceId, self.clock.now()), address=address, services=services or ("theatre",)
        )
        membership = Membership(registry=self.registry, instance=instance, clock=self.clock, lease_s=600)
        await membership.join()
        await self.directory.refresh()
        return membership

    async def listen(self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> None:
        """Register a server that handles connections by a function."""
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self._stack.callback(server.close)
        await self.register(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    def caller(self, domain: str = "theatre", **options: Any) -> Any:
        """Return the Protocol bound to the instances."""
        options = {"key": KEY, "rng": Random(1), **options}
        client = TracedClient(http=self.http, directory=self.directory, **options)
        client.spans = self.spans
        return bind_remote(Theatre, domain, client, caller="tests")

    async def close(self) -> None:
        """Stop every instance."""
        for one in self.running:
            one.playhouse.gate.set()
        await self._stack.aclose()


def bind_local(playhouse: Playhouse, *, metrics: Metrics | None = None, **options: Any) -> Any:
    """Return the Protocol bound to an implementation in this process."""
    services = Services(metrics or Metrics(), **options)
    services.add("theatre", Theatre, playhouse)
    return services.bind("theatre", caller="tests")


@asynccontextmanager
async def open_rig(instances: int) -> AsyncIterator[Rig]:
    """Open a rig with a number of instances."""
    async with HttpClient() as http:
        rig = Rig(http)
        try:
            for _ in range(instances):
                await rig.start()
            yield rig
        finally:
            await rig.close()


def new_trace() -> Context:
    """Return a context with a new trace id."""
    return Context(trace_id=ids.generate(ids.TraceId, SystemClock().now()))
