"""The outermost layer: trace id, deadline, who asks, headers of every answer, one line and one tally a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from matinee.drivers.asgi import App, Message, Receive, Scope, Send
from matinee.drivers.metrics import Metrics
from matinee.gateway.api.problems import Broken
from matinee.gateway.ports import Verifier
from matinee.gateway.server import errors
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Context, Principal, activate
from matinee.kit.ids import TraceId
from matinee.kit.problem import DeadlineExceeded, Problem, Unauthenticated

_log = log.get()
_PERSONAL = [(b"cache-control", b"no-store")]
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
# These take as long as their bytes do; everything else has a deadline.
_UNHURRIED = ("/api/v1/operator/uploads", "/api/v1/operator/ingest")


class RequestMiddleware:
    """An ASGI application around the routes. It costs one pass over the headers and nothing else of note."""

    def __init__(self, app: App, *, verifier: Verifier, clock: Clock, deadline_ms: int, metrics: Metrics) -> None:
        self._app = app
        self._verifier = verifier
        self._clock = clock
        self._deadline_s = deadline_ms / 1000
        self._answers = metrics.counter(
            "matinee_gateway_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = metrics.histogram("matinee_gateway_request_seconds", "How long routes took.", ("route",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        who, problem = await self._asking(scope)
        scope["state"] = {**scope.get("state", {}), "refusal": problem}
        hurried = not scope["path"].startswith(_UNHURRIED)
        deadline_s = began + self._deadline_s if hurried else None
        trace_id = ids.generate(TraceId, self._clock.now())
        outgoing = _Outgoing(send, trace_id=trace_id, personal=scope["path"].startswith("/api/"))
        with activate(Context(trace_id=trace_id, deadline_s=deadline_s, principal=who)):
            await self._answer(scope, receive, outgoing, deadline_s)
            self._record(scope, outgoing.status, time.monotonic() - began, who)

    async def _answer(self, scope: Scope, receive: Receive, outgoing: _Outgoing, deadline_s: float | None) -> None:
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s - time.monotonic()):
                await self._app(scope, receive, outgoing)
        except TimeoutError:
            await outgoing.problem(DeadlineExceeded(service="gateway"))
        except Exception as error:  # a bug outside the routes' own handlers
            _log.error("request.broke", exc_info=error)
            await outgoing.problem(Broken())

    async def _asking(self, scope: Scope) -> tuple[Principal | None, Problem | None]:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                try:
                    return await self._verifier.verify(value[7:].decode("latin-1").strip()), None
                except Problem as problem:
                    return None, problem
                except Exception as error:  # the keys could not be had: nobody is let in, and the log says why
                    _log.error("token.unverifiable", exc_info=error)
                    return None, Broken()
        return None, None

    def _record(self, scope: Scope, status: int, took_s: float, who: Principal | None) -> None:
        # The template, never the path: some paths carry a token.
        route = str(scope.get("path_template") or "unknown")
        self._answers.labels(scope["method"], route, status).inc()
        self._seconds.labels(route).observe(took_s)
        _log.info(
            "request.answered",
            method=scope["method"],
            route=route,
            status=status,
            took_ms=round(took_s * 1000, 2),
            account_id=who.account_id if who else None,
        )


class _Outgoing:
    """Remembers the status on its way out, and adds the headers that every answer has."""

    def __init__(self, send: Send, *, trace_id: str, personal: bool) -> None:
        self._send = send
        self._extra = [*_ALWAYS, *(_PERSONAL if personal else []), (b"x-trace-id", trace_id.encode())]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present: dict[bytes, bytes] = dict(message["headers"])
            message["headers"] = [*message["headers"], *(pair for pair in self._extra if pair[0] not in present)]
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        if self.status:  # an answer is on its way already; what is cut short the client will see as such
            return
        headers = [(b"content-type", errors.PROBLEM_JSON.encode())]
        await self({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self({"type": "http.response.body", "body": errors.body(problem), "more_body": False})


def refusal(state: Mapping[str, Any]) -> Problem:
    """Why nobody is signed in: what was wrong with the token, or that there was none."""
    problem: Problem | None = state.get("refusal")
    return problem or Unauthenticated()
