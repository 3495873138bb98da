"""The outermost layer: trace id, deadline, principal, response headers, log and metrics of every request."""

from __future__ import annotations

import asyncio
import contextlib
import time

from msgspec.structs import replace

from matinee.drivers.asgi import App, Header, Message, Receive, Scope, Send
from matinee.drivers.metrics import Metrics
from matinee.gateway.api.problems import Broken
from matinee.gateway.model.proxy import API
from matinee.gateway.ports import TokenVerifier
from matinee.gateway.server import errors, open_links
from matinee.gateway.server.admission import find_refusal, parse_host
from matinee.gateway.server.body import notice_departure
from matinee.gateway.server.load import LoadLimit
from matinee.gateway.server.state import ServerSettings
from matinee.kit import ids, log
from matinee.kit.clock import Clock
from matinee.kit.context import Context, Principal, activate
from matinee.kit.ids import TraceId
from matinee.kit.problem import DeadlineExceeded, Problem
from matinee.kit.tracing import Operation, Span, TraceParent, Tracer, parse_traceparent

_log = log.get()
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"x-robots-tag", b"noindex"),
]
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")
_REQUEST = Operation("request", "server")
_NOT_CACHED = (b"cache-control", b"no-store")
# How long these take depends on their size, so they have no deadline.
_WITHOUT_DEADLINE = (f"{API}/operator/uploads", f"{API}/operator/ingest")


class RequestMiddleware:
    """An ASGI application around the routes.

    A request that takes `settings.slow_ms` or longer keeps its trace. A client chooses the trace id by `traceparent`,
    and with `honour_sampled` also whether the request is traced.
    """

    def __init__(
        self,
        app: App,
        *,
        settings: ServerSettings,
        verifier: TokenVerifier,
        clock: Clock,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._verifier = verifier
        self._clock = clock
        self._deadline_s = settings.deadline_ms / 1000
        self._tracer = tracer
        self._load = LoadLimit(settings.concurrency)
        self._slow_s = settings.slow_ms / 1000
        self._honour_sampled = settings.honour_sampled
        self._requests = metrics.counter(
            "matinee_gateway_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self._seconds = metrics.histogram("matinee_gateway_request_seconds", "Duration of requests.", ("route",))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        has_deadline = not scope["path"].startswith(_WITHOUT_DEADLINE)
        deadline_s = started_s + self._deadline_s if has_deadline else None
        parent = self._read_parent(scope)
        trace_id = parent.trace_id if parent else ids.generate(TraceId, self._clock.now())
        span = self._tracer.start(_REQUEST, parent, trace_id=trace_id) if self._tracer is not None else None
        response = _ResponseSender(send, [*self._list_headers(scope), (b"x-trace-id", trace_id.encode())])
        request = Context(trace_id=trace_id, deadline_s=deadline_s, span=span)
        with activate(request):
            refusal = find_refusal(scope, self._settings) or (self._load.find_refusal(scope) if has_deadline else None)
            principal, problem = (None, None) if refusal else await self._authenticate(scope)
        scope["state"] = {**scope.get("state", {}), "token_problem": problem}
        with activate(replace(request, principal=principal)):
            if refusal:
                await response.send_problem(refusal)
            else:
                with self._load.count() if has_deadline else contextlib.nullcontext():
                    await self._respond(scope, receive, response, deadline_s)
            duration_s = time.monotonic() - started_s
            self._record(scope, response.status, duration_s, principal)
            if span is not None:
                _end_span(span, scope, response.status, keep=has_deadline and duration_s >= self._slow_s)

    def _list_headers(self, scope: Scope) -> list[Header]:
        """Return the headers that a response gets unless it has them."""
        headers = [
            *open_links.list_headers(scope),
            *_SECURITY_HEADERS,
            *([_NOT_CACHED] if scope["path"].startswith("/api/") else []),
        ]
        if self._settings.strict_host and self._settings.strict_host == parse_host(_read_host(scope)):
            headers.append(_TLS_ONLY)
        return headers

    def _read_parent(self, scope: Scope) -> TraceParent | None:
        """Return the trace that the client started. Its wish to be sampled is not obeyed: anyone could send it."""
        header: bytes = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        parent = parse_traceparent(header.decode("latin-1")) if header else None
        if parent is None or self._tracer is None:
            return parent
        is_sampled = (self._honour_sampled and parent.is_sampled) or self._tracer.sample()
        return parent._replace(is_sampled=is_sampled)

    async def _respond(
        self, scope: Scope, receive: Receive, response: _ResponseSender, deadline_s: float | None
    ) -> None:
        try:
            async with asyncio.timeout(None if deadline_s is None else deadline_s - time.monotonic()):
                await self._app(scope, notice_departure(receive), response)
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


def _end_span(span: Span, scope: Scope, status: int, *, keep: bool) -> None:
    method, route = scope["method"], str(scope.get("path_template") or "unknown")
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    span.operation = Operation(f"{method} {route}", "server", attributes)
    span.end("ok" if status < 500 else str(status), failed=status >= 500, keep=keep)


def _read_host(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"host"), b"")


class _ResponseSender:
    """Adds headers to a response and remembers its status."""

    def __init__(self, send: Send, headers: list[Header]) -> None:
        self._send = send
        self._extra = headers
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
        own = {"Content-Type": errors.PROBLEM_JSON, **errors.list_headers(problem)}
        headers = [(name.lower().encode(), value.encode()) for name, value in own.items()]
        await self({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self({"type": "http.response.body", "body": errors.encode(problem), "more_body": False})
