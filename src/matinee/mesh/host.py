"""Implementations served over HTTP at `POST /rpc/<domain>/<method>`, beside `/healthz`, `/readyz` and `/metrics`.

A plain ASGI application, for other processes and for monitoring only: viewers' requests have a listener of their own.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from matinee.drivers.asgi import ClientDisconnected, Header, Receive, Scope, Send, read_body, send_response
from matinee.drivers.engine import EngineState
from matinee.drivers.metrics import Metrics
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.context import Context
from matinee.kit.ids import TraceId
from matinee.kit.problem import Overloaded, TooLarge, Unauthenticated
from matinee.kit.tracing import Operation, Tracer, parse_traceparent
from matinee.mesh import wire
from matinee.mesh.api import NotServed
from matinee.mesh.endpoint import DRAINING_RETRY_MS, Endpoint, Reply, refuse
from matinee.mesh.jobs import FailingJob
from matinee.mesh.service import Service

_POLL_S: Final = 0.01
_JSON: Final = [(b"content-type", wire.JSON.encode())]
_PROBLEM: Final = [(b"content-type", wire.PROBLEM_JSON.encode())]
_CLOSE: Final = (b"connection", b"close")


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The readiness of a process: what its start waits for (empty once it runs), its engines, and failing jobs."""

    waiting: str = ""
    engines: tuple[EngineState, ...] = ()
    jobs: tuple[FailingJob, ...] = ()

    @property
    def is_degraded(self) -> bool:
        """Whether some engine is not ok."""
        return any(engine.state != "ok" for engine in self.engines)

    @property
    def state(self) -> str:
        """The state in one word; only `ready` and `degraded` processes are ready."""
        if self.waiting or self.jobs:
            return "waiting" if self.waiting else "failing"
        return "degraded" if self.is_degraded else "ready"


class Host:
    """The HTTP server application of one process, which serves `services` to remote callers.

    `key` is the secret that callers must present; `readiness` is reported by `/readyz`.

    `/readyz` is a 503 while the process starts or drains, or a job keeps failing: another instance can then do better.
    A failed engine is only reported: all instances share it, and with all of them out of service none would give the
    answers that do not need it, or a clear refusal. Callers detect an instance that cannot reach its engines by its
    responses.
    """

    def __init__(
        self,
        *,
        key: str,
        clock: Clock,
        metrics: Metrics,
        services: Sequence[Service] = (),
        readiness: Callable[[], Readiness] = Readiness,
        tracer: Tracer | None = None,
        max_body_bytes: int = 8 << 20,
    ) -> None:
        self.draining = False
        self._bearer = f"Bearer {key}".encode()
        self._clock = clock
        self._metrics = metrics
        self._services = services
        self._readiness = readiness
        self._tracer = tracer
        self._max_body_bytes = max_body_bytes
        self._endpoints = {
            wire.rpc_path(service.domain, name): Endpoint(method)
            for service in services
            for name, method in service.methods.items()
        }
        self._probes = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._send_metrics}

    def drain(self) -> None:
        """Refuse new calls from now on, in a way that sends them to another instance."""
        self.draining = True
        for endpoint in self._endpoints.values():
            endpoint.drain()

    async def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait for the calls in flight; False when some remain after `timeout_s`."""
        for _ in range(max(1, int(timeout_s / _POLL_S))):
            if not any(service.in_flight for service in self._services):
                return True
            await asyncio.sleep(_POLL_S)
        return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith("/rpc/"):
            await self._serve_call(scope, receive, send)
        elif scope["type"] == "http" and path in self._probes:
            await self._probes[path](send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await _send(send, refuse(NotServed(service=path[:200]), "unknown"))

    async def _serve_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            reply = self._check(scope, headers) or await self._answer(scope, receive, headers)
        except ClientDisconnected:
            return
        await _send(send, reply, close=self.draining)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> Reply | None:
        """Return the refusal of a request, if any."""
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._bearer):
            return refuse(Unauthenticated(detail="The mesh key is missing or wrong."), "key")
        if self.draining:
            return refuse(Overloaded(retry_after_ms=DRAINING_RETRY_MS), "draining")
        if scope["path"] not in self._endpoints or scope["method"] != "POST":
            return refuse(NotServed(service=scope["path"][:200]), "unknown")
        return None

    async def _answer(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> Reply:
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
        except TooLarge as problem:
            return refuse(problem, "too-large")
        endpoint = self._endpoints[scope["path"]]
        return await endpoint.reply(body, self._build_context(headers, endpoint.operation))

    def _build_context(self, headers: dict[bytes, bytes], operation: Operation) -> Context:
        parent = parse_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        trace_id = parent.trace_id if parent else ids.generate(TraceId, self._clock.now())
        remaining_ms = headers.get(b"x-deadline-ms", b"")
        has_deadline = remaining_ms.isdigit() and len(remaining_ms) < 10
        return Context(
            trace_id=trace_id,
            deadline_s=time.monotonic() + int(remaining_ms) / 1000 if has_deadline else None,
            # A call outside any trace, such as a heartbeat, starts none.
            span=self._tracer.start(operation, parent) if parent and self._tracer else None,
        )

    async def _healthz(self, send: Send) -> None:
        await send_response(send, 200, b'"ok"', _JSON)

    async def _readyz(self, send: Send) -> None:
        readiness = self._readiness()
        state = "draining" if self.draining else readiness.state
        body = msgspec.json.encode({"state": state, **msgspec.structs.asdict(readiness)})
        await send_response(send, 200 if state in ("ready", "degraded") else 503, body, _JSON)

    async def _send_metrics(self, send: Send) -> None:
        headers = [(b"content-type", self._metrics.content_type.encode())]
        await send_response(send, 200, self._metrics.render(), headers)


async def _send(send: Send, reply: Reply, *, close: bool = False) -> None:
    headers: list[Header] = list(_JSON if reply.status == 200 else _PROBLEM)
    if reply.refused:
        headers.append((wire.REFUSED.encode(), reply.refused.encode()))
    if close:
        headers.append(_CLOSE)
    await send_response(send, reply.status, reply.body, headers)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
