"""Implementations served over HTTP: `POST /rpc/<domain>/<method>`, beside `/healthz`, `/readyz`, `/metrics`.

A plain ASGI application; what it does not serve itself goes to the application mounted behind it.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from matinee.drivers.asgi import App, Gone, Header, Receive, Scope, Send, read_body, respond
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

Check: TypeAlias = Callable[[], Awaitable[bool]]

_log = log.get()
_CHECK_S: Final = 2.0
_LOOK_S: Final = 0.01
_PATIENT_PLACES: Final = 256
_JSON: Final = [(b"content-type", wire.JSON.encode())]
_PROBLEM: Final = [(b"content-type", wire.PROBLEM_JSON.encode())]
_CLOSE: Final = (b"connection", b"close")


class Host:
    """What one process serves.

    `key` is the secret that callers must show; `checks` are what `/readyz` asks, each true when ready;
    `app` gets every other path, and the lifespan.
    """

    def __init__(
        self,
        *,
        key: str,
        clock: Clock,
        metrics: Metrics,
        checks: Mapping[str, Check] | None = None,
        app: App | None = None,
        max_body_bytes: int = 8 << 20,
    ) -> None:
        self.draining = False
        self._bearer = f"Bearer {key}".encode()
        self._clock = clock
        self._metrics = metrics
        self._gauges = HostGauges(metrics)
        self._checks = dict(checks or {})
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

    async def drained(self, limit_s: float) -> bool:
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
        except Gone:
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
            trace_id=trace_id or ids.new(TraceId, self._clock.now()),
            deadline_s=time.monotonic() + int(left_ms) / 1000 if left_ms.isdigit() and len(left_ms) < 10 else None,
        )

    async def _healthz(self, send: Send) -> None:
        await respond(send, 200, b'"ok"', _JSON)

    async def _readyz(self, send: Send) -> None:
        waiting = await asyncio.gather(*(_waits(name, check) for name, check in self._checks.items()))
        missing = [*(["draining"] if self.draining else []), *filter(None, waiting)]
        await respond(send, 503 if missing else 200, msgspec.json.encode(missing), _JSON)

    async def _show_metrics(self, send: Send) -> None:
        await respond(send, 200, self._metrics.render(), [(b"content-type", self._metrics.content_type.encode())])


async def _send(send: Send, reply: Reply, *, close: bool = False) -> None:
    headers: list[Header] = list(_JSON if reply.status == 200 else _PROBLEM)
    if reply.refused:
        headers.append((wire.REFUSED.encode(), reply.refused.encode()))
    if close:
        headers.append(_CLOSE)
    await respond(send, reply.status, reply.body, headers)


async def _waits(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_S):
            return None if await check() else name
    except Exception as error:  # a check that fails is a check that is not passed
        _log.warning("mesh.not_ready", check=name, error=repr(error))
        return name


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
