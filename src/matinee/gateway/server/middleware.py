"""The outermost layer: trace id, deadline, principal, response headers, log and metrics of every request."""

from __future__ import annotations

import asyncio
import time

from matinee.drivers.asgi import App, Message, Receive, Scope, Send
from matinee.drivers.metrics import Metrics
from matinee.gateway.api.problems import Broken
from matinee.gateway.model.proxy import API
from matinee.gateway.ports import TokenVerifier
from matinee.gateway.server import errors
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Context, Principal, activate
from matinee.kit.ids import TraceId
from matinee.kit.problem import DeadlineExceeded, Problem

_log = log.get()
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_NOT_CACHED = (b"cache-control", b"no-store")
# How long these take depends on their size, so they have no deadline.
_WITHOUT_DEADLINE = (f"{API}/operator/uploads", f"{API}/operator/ingest")


class RequestMiddleware:
    """An ASGI application around the routes."""

    def __init__(self, app: App, *, verifier: TokenVerifier, clock: Clock, deadline_ms: int, metrics: Metrics) -> None:
        self._app = app
        self._verifier = verifier
        self._clock = clock
        self._deadline_s = deadline_ms / 1000
        self._requests = metrics.counter(
            "matinee_gateway_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = metrics.histogram("matinee_gateway_request_seconds", "Duration of requests.", ("route",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        principal, problem = await self._authenticate(scope)
        scope["state"] = {**scope.get("state", {}), "token_problem": problem}
        has_deadline = not scope["path"].startswith(_WITHOUT_DEADLINE)
        deadline_s = started_s + self._deadline_s if has_deadline else None
        trace_id = ids.generate(TraceId, self._clock.now())
        response = _ResponseSender(send, trace_id=trace_id, is_private=scope["path"].startswith("/api/"))
        with activate(Context(trace_id=trace_id, deadline_s=deadline_s, principal=principal)):
            await self._respond(scope, receive, response, deadline_s)
            self._record(scope, response.status, time.monotonic() - started_s, principal)

    async def _respond(
        self, scope: Scope, receive: Receive, response: _ResponseSender, deadline_s: float | None
    ) -> None:
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s - time.monotonic()):
                await self._app(scope, receive, response)
        except TimeoutError:
            await response.send_problem(DeadlineExceeded(service="gateway"))
        except Exception as error:  # outside the handlers' own error handling
            _log.error("request.failed", exc_info=error)
            await response.send_problem(Broken())

    async def _authenticate(self, scope: Scope) -> tuple[Principal | None, Problem | None]:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                try:
                    return await self._verifier.verify(value[7:].decode("latin-1").strip()), None
                except Problem as problem:
                    return None, problem
                except Exception as error:  # the keys could not be fetched
                    _log.error("token.verification_failed", exc_info=error)
                    return None, Broken()
        return None, None

    def _record(self, scope: Scope, status: int, duration_s: float, principal: Principal | None) -> None:
        # The template, because some paths contain a token.
        route = str(scope.get("path_template") or "unknown")
        self._requests.labels(scope["method"], route, status).inc()
        self._seconds.labels(route).observe(duration_s)
        _log.info(
            "request.answered",
            method=scope["method"],
            route=route,
            status=status,
            duration_ms=round(duration_s * 1000, 2),
            account_id=principal.account_id if principal else None,
        )


class _ResponseSender:
    """Adds headers to a response and remembers its status."""

    def __init__(self, send: Send, *, trace_id: str, is_private: bool) -> None:
        self._send = send
        self._extra = [*_SECURITY_HEADERS, *([_NOT_CACHED] if is_private else []), (b"x-trace-id", trace_id.encode())]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present: dict[bytes, bytes] = dict(message["headers"])
            message["headers"] = [*message["headers"], *(pair for pair in self._extra if pair[0] not in present)]
        await self._send(message)

    async def send_problem(self, problem: Problem) -> None:
        """Send a problem document, unless a response has begun."""
        if self.status:
            return
        headers = [(b"content-type", errors.PROBLEM_JSON.encode())]
        await self({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self({"type": "http.response.body", "body": errors.encode(problem), "more_body": False})
