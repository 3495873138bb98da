"""The domains that this process implements, and calls to them from within the process."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any, Final

from matinee.drivers.metrics import Metrics
from matinee.kit import context, log
from matinee.kit.context import Context
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem
from matinee.mesh import wire
from matinee.mesh.api import ServiceFailed
from matinee.mesh.deadline import DeadlineWheel
from matinee.mesh.limit import ConcurrencyLimit, TypicalDuration
from matinee.mesh.metrics import CallMetrics, MeshMetrics
from matinee.mesh.retry import ATTEMPTS, pause_s
from matinee.mesh.signature import AsyncFunction, Signature, bind, read_signatures

LIMIT_MS: Final = 5_000
_LONG_RUNNING_LIMIT: Final = 256
_MAX_WAITING: Final = 64
_INDICATES_LOAD: Final = frozenset({"ok", DeadlineExceeded.kind()})
_log = log.get()


class ServiceMethod:
    """One method of a domain, with the limit and metrics that its local and remote callers share."""

    __slots__ = ("_is_quick", "_typical", "domain", "limit", "metrics", "signature", "target")

    def __init__(
        self, *, domain: str, signature: Signature, target: AsyncFunction, limit: ConcurrencyLimit, metrics: CallMetrics
    ) -> None:
        self.domain = domain
        self.signature = signature
        self.target = target
        self.limit = limit
        self.metrics = metrics
        self._typical = TypicalDuration()
        self._is_quick = signature.limit_ms is None

    def finish(self, outcome: str, duration_s: float) -> None:
        """Release the slot of a call and count it."""
        # The duration of a refused argument or of a long-running method does not depend on load.
        if outcome in _INDICATES_LOAD and self._is_quick:
            self.limit.release(self._typical.slowdown(duration_s))
        else:
            self.limit.release()
        self.metrics.observe(outcome, duration_s)

    def refuse(self) -> Overloaded:
        """Build the problem of a call above the limit."""
        return Overloaded(retry_after_ms=max(50, min(5_000, round(self._typical.seconds * 1000))))

    def fail(self, trace_id: str) -> ServiceFailed:
        """Log the exception being handled, which is a bug, and build the problem that the caller gets instead."""
        _log.exception("call.failed", domain=self.domain, method=self.signature.name)
        return ServiceFailed(service=self.domain, trace_id=trace_id)


class Service:
    """A domain implemented in this process. Raises TypeError for a method that cannot be called remotely."""

    def __init__(self, domain: str, protocol: type[Any], implementation: object, metrics: MeshMetrics) -> None:
        self.domain = domain
        self.protocol = protocol
        # Long-running calls have a limit of their own, so that they cannot keep the others out.
        self._limit, self._long_running = ConcurrencyLimit(), ConcurrencyLimit(initial=_LONG_RUNNING_LIMIT)
        self.methods = {
            name: ServiceMethod(
                domain=domain,
                signature=signature,
                target=getattr(implementation, name),
                limit=self._limit if signature.limit_ms is None else self._long_running,
                metrics=metrics.method(domain, name),
            )
            for name, signature in read_signatures(protocol).items()
        }
        metrics.watch(domain, self._limit, self._long_running)

    @property
    def in_flight(self) -> int:
        """The number of calls in flight."""
        return self._limit.in_flight + self._long_running.in_flight


class Services:
    """The domains that this process implements, by name, for one event loop.

    `limit_ms` is the deadline of a local call unless its context has an earlier one. `force_wire` encodes and decodes
    arguments, results and problems of local calls, so that a test gets exactly what a remote caller gets.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        limit_ms: int = LIMIT_MS,
        rng: Random | None = None,
        force_wire: bool = False,
    ) -> None:
        self._metrics = MeshMetrics(metrics)
        self._limit_ms = limit_ms
        self._rng = rng or Random()  # noqa: S311  # spreads retries
        self._force_wire = force_wire
        self._services: dict[str, Service] = {}
        self._deadlines = DeadlineWheel()
        self._waiting = 0

    def add(self, domain: str, protocol: type[Any], implementation: object) -> Service:
        """Add the implementation of a domain, or return the service that was added before."""
        if (service := self._services.get(domain)) is None:
            service = self._services[domain] = Service(domain, protocol, implementation, self._metrics)
        return service

    def bind(self, domain: str, *, caller: str = "") -> Any:
        """Return an object whose methods call a domain of this process as a remote caller would.

        A call has a deadline, is refused above the concurrency limit, counted and traced; an exception that is not
        a `Problem` becomes ServiceFailed. `caller` names the calling domain.
        """
        service = self._services[domain]
        return bind(service.protocol, lambda signature: self._wrap(service.methods[signature.name], caller))

    def _wrap(self, method: ServiceMethod, caller: str) -> AsyncFunction:
        """Build the wrapper of one method. Every call within the process passes through it, so it is optimised."""
        signature, limit, domain = method.signature, method.limit, method.domain
        operation = signature.to_operation(domain, "internal", **{"matinee.caller": caller})
        target = _copy_through_wire(method) if self._force_wire else method.target
        limit_s = (signature.limit_ms or self._limit_ms) / 1000
        monotonic, current, set_current, restore = time.monotonic, context.current, context.set_current, context.restore
        start_deadline, acquire, finish = self._deadlines.start, limit.acquire, method.finish

        async def call(**arguments: Any) -> Any:
            started_s = monotonic()
            outer = current()
            deadline_s = outer.deadline_s
            if deadline_s is None or started_s + limit_s < deadline_s:
                deadline_s = started_s + limit_s
            elif deadline_s <= started_s:
                raise DeadlineExceeded(service=domain)
            if not acquire():
                await self._wait_for_slot(method, deadline_s)
            deadline = start_deadline(deadline_s)
            trace_id, span = outer.trace_id, outer.span
            if span is not None:
                span = span.start(operation, started_s)
            token = set_current(Context(trace_id=trace_id, deadline_s=deadline_s, principal=outer.principal, span=span))
            outcome, failed = "ok", False
            try:
                result = await target(**arguments)
            except BaseException as error:
                is_expired = deadline.stop() and isinstance(error, asyncio.CancelledError)
                problem = DeadlineExceeded(service=domain) if is_expired else _to_problem(error, method, outer.trace_id)
                outcome, failed = ("cancelled", False) if problem is None else (problem.kind(), problem.status >= 500)
                if problem is None or problem is error:
                    raise
                raise problem from error
            else:
                deadline.stop()
                return result
            finally:
                restore(token)
                finish(outcome, monotonic() - started_s)
                if span is not None:
                    span.end(outcome, failed=failed)

        return call

    async def _wait_for_slot(self, method: ServiceMethod, deadline_s: float) -> None:
        """Try for a slot as often as a remote caller does. Raises Overloaded, at once when many wait already."""
        self._waiting += 1
        try:
            for attempt in range(1, ATTEMPTS if self._waiting <= _MAX_WAITING else 1):
                pause = pause_s(attempt, self._rng.random())
                if time.monotonic() + pause >= deadline_s:
                    break
                await asyncio.sleep(pause)
                if method.limit.acquire():
                    return
        finally:
            self._waiting -= 1
        method.metrics.count_refusal()
        raise method.refuse()


def _to_problem(error: BaseException, method: ServiceMethod, trace_id: str) -> Problem | None:
    """Return the problem that the caller gets for an exception; None when the call was cancelled."""
    if isinstance(error, Problem):
        return error
    return method.fail(trace_id) if isinstance(error, Exception) else None


def _copy_through_wire(method: ServiceMethod) -> AsyncFunction:
    signature = method.signature

    async def call(**arguments: Any) -> Any:
        decoded = signature.decode_arguments(signature.encode_arguments(arguments))
        try:
            body = signature.encode_result(await method.target(**decoded))
        except Problem as problem:
            raise wire.decode_problem(wire.encode_problem(problem), method.domain) from problem
        return signature.decode_result(body)

    return call
