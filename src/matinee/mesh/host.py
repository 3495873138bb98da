"""Implementations served over HTTP: `POST /rpc/<domain>/<method>`, beside `/healthz`, `/readyz`, `/metrics`.

A plain ASGI application; what it does not serve itself goes to the application mounted behind it.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from matinee.drivers.asgi import App, ClientDisconnected, Header, Receive, Scope, Send, read_body, send_response
from matinee.drivers.engine import EngineState
from matinee.drivers.metrics import Metrics
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Context
from matinee.kit.ids import TraceId
from matinee.kit.problem import Overloaded, TooLarge, Unauthenticated
from matinee.mesh import wire
from matinee.mesh.api import NotServed
from matinee.mesh.endpoint import DRAINING_RETRY_MS, Endpoint, Reply, refusal
from matinee.mesh.gauges import HostGauges
from matinee.mesh.limit import ConcurrencyLimit
from matinee.mesh.signature import signatures

_log = log.get()
_LOOK_S: Final = 0.01
_PATIENT_PLACES: Final = 256
_JSON: Final = [(b"content-type", wire.JSON.encode())]
_PROBLEM: Final = [(b"content-type", wire.PROBLEM_JSON.encode())]
_CLOSE: Final = (b"connection", b"close")


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is: what its start waits for, empty once it runs, and the engines that it uses."""

    waiting: str = ""
    engines: tuple[EngineState, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether some engine is not well."""
        return any(engine.state != "ok" for engine in self.engines)


class Host:
    """What one process serves.

    `key` is the secret that callers must show; `readiness` is what `/readyz` tells; `app` gets every other path,
    and the lifespan.

    `/readyz` is a 503 while the process starts or drains: then another can do better. An engine that is not well is
    told there and no more, because all instances share it: were all taken out, nobody would be left to give the
    answers that do without it, or a clear refusal. Which instance has its own trouble reaching it, callers notice.
    """

    def __init__(
        self,
        *,
        key: str,
        clock: Clock,
        metrics: Metrics,
        readiness: Callable[[], Readiness] = Readiness,
        app: App | None = None,
        max_body_bytes: int = 8 << 20,
    ) -> None:
        self.draining = False
        self._bearer = f"Bearer {key}".encode()
        self._clock = clock
        self._metrics = metrics
        self._gauges = HostGauges(metrics)
        self._readiness = readiness
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._endpoints: dict[str, Endpoint] = {}
        self._limits: dict[str, tuple[ConcurrencyLimit, ConcurrencyLimit]] = {}
        self._own = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._show_metrics}

    @property
    def services(self) -> tuple[str, ...]:
        """The domains that are served, in order of name."""
        return tuple(sorted(self._limits))

    def serve(self, domain: str, protocol: type[Any], implementation: object) -> None:
        """Serve every method of a Protocol. Raises TypeError for one that cannot be called from afar."""
        # Calls that wait have places of their own, so that they cannot keep the others out.
        limits = self._limits[domain] = (ConcurrencyLimit(), ConcurrencyLimit(start=_PATIENT_PLACES))
        self._gauges.watch(domain, *limits)
        for name, signature in signatures(protocol).items():
            self._endpoints[wire.path(domain, name)] = Endpoint(
                domain=domain,
                signature=signature,
                method=getattr(implementation, name),
                limit=limits[signature.limit_ms is not None],
                gauges=self._gauges.of(domain, name),
            )

    def drain(self) -> None:
        """Refuse new calls from now on, in a way that sends them to another instance."""
        self.draining = True
        for endpoint in self._endpoints.values():
            endpoint.drain()

    async def wait_until_idle(self, limit_s: float) -> bool:
        """Wait for the calls under way; False when some are left after `limit_s`."""
        for _ in range(max(1, int(limit_s / _LOOK_S))):
            if not any(limit.in_flight for limits in self._limits.values() for limit in limits):
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith("/rpc/"):
            await self._rpc(scope, receive, send)
        elif scope["type"] == "http" and path in self._own:
            await self._own[path](send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await _send(send, refusal(NotServed(service=path[:200]), "unknown"))

    async def _rpc(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            reply = self._refused(scope, headers) or await self._answered(scope, receive, headers)
        except ClientDisconnected:
            return
        await _send(send, reply, close=self.draining)

    def _refused(self, scope: Scope, headers: dict[bytes, bytes]) -> Reply | None:
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._bearer):
            return refusal(Unauthenticated(detail="The mesh key is missing or wrong."), "key")
        if self.draining:
            return refusal(Overloaded(retry_after_ms=DRAINING_RETRY_MS), "draining")
        if scope["path"] not in self._endpoints or scope["method"] != "POST":
            return refusal(NotServed(service=scope["path"][:200]), "unknown")
        return None

    async def _answered(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> Reply:
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
        except TooLarge as problem:
            return refusal(problem, "too-large")
        return await self._endpoints[scope["path"]].answer(body, self._context(headers))

    def _context(self, headers: dict[bytes, bytes]) -> Context:
        trace_id = wire.trace_id(headers.get(b"traceparent", b"").decode("latin-1"))
        left_ms = headers.get(b"x-deadline-ms", b"")
        return Context(
            trace_id=trace_id or ids.generate(TraceId, self._clock.now()),
            deadline_s=time.monotonic() + int(left_ms) / 1000 if left_ms.isdigit() and len(left_ms) < 10 else None,
        )

    async def _healthz(self, send: Send) -> None:
        await send_response(send, 200, b'"ok"', _JSON)

    async def _readyz(self, send: Send) -> None:
        found = self._readiness()
        state = (
            "draining" if self.draining else "waiting" if found.waiting else "degraded" if found.degraded else "ready"
        )
        body = msgspec.json.encode({"state": state, **msgspec.structs.asdict(found)})
        await send_response(send, 200 if state in ("ready", "degraded") else 503, body, _JSON)

    async def _show_metrics(self, send: Send) -> None:
        await send_response(send, 200, self._metrics.render(), [(b"content-type", self._metrics.content_type.encode())])


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
