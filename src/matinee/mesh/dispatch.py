"""One call, attempted as often as is safe, each time on the instance that looks best."""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import Random
from typing import Any, Final

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.kit.problem import DeadlineExceeded, Problem, Unreachable
from matinee.kit.tracing import Span, format_traceparent
from matinee.mesh import wire
from matinee.mesh.api import ServiceFailed
from matinee.mesh.balance import Peer, Peers
from matinee.mesh.membership import Directory
from matinee.mesh.retry import ATTEMPTS, RetryBudget, pause_s
from matinee.mesh.signature import Signature

# A timeout shorter than this is not counted against the instance.
_FAIR_S: Final = 0.25
# The latency that a failed attempt is counted with.
_FAILED_S: Final = 1.0
# Refusals after which another instance, or the same one a little later, may accept the call.
_RETRYABLE: Final = frozenset({"draining", "overloaded", "unknown"})


class Call:
    """A call, its deadline and its attempts so far."""

    __slots__ = ("attempts", "body", "deadline_s", "domain", "signature", "span", "trace_id", "tried")

    def __init__(
        self, domain: str, signature: Signature, body: bytes, deadline_s: float, trace_id: str, span: Span | None
    ) -> None:
        self.domain = domain
        self.signature = signature
        self.body = body
        self.deadline_s = deadline_s
        self.trace_id = trace_id
        self.span = span
        self.attempts = 0
        self.tried: list[Peer] = []


class _AttemptFailed(Exception):
    """An attempt without a result. `not_executed` means that the service did no work."""

    def __init__(self, problem: Problem, *, not_executed: bool) -> None:
        self.problem = problem
        self.not_executed = not_executed


class Dispatcher:
    """Sends calls, and tracks the latency and health of every instance."""

    def __init__(self, *, http: HttpClient, directory: Directory, key: str, rng: Random) -> None:
        self._http = http
        self._directory = directory
        self._bearer = f"Bearer {key}"
        self._rng = rng
        self._peers = Peers()
        self._budgets: dict[str, RetryBudget] = {}

    async def send(self, call: Call) -> Any:
        """Return the result of the method. Raises its problem, or the reason why there is no result."""
        budget = self._budgets.setdefault(call.domain, RetryBudget())
        budget.earn()
        while True:
            try:
                return await self._attempt(call)
            except _AttemptFailed as failed:
                is_safe = failed.not_executed or call.signature.idempotent
                if not is_safe or call.attempts >= ATTEMPTS or not budget.spend():
                    raise failed.problem from failed
                await self._pause(call, failed)

    async def _pause(self, call: Call, failed: _AttemptFailed) -> None:
        if failed.not_executed and self._pick(call) not in (None, *call.tried):
            return  # another instance has not been tried yet
        pause = pause_s(call.attempts, self._rng.random())
        if time.monotonic() + pause >= call.deadline_s:
            raise failed.problem from failed
        await asyncio.sleep(pause)

    async def _attempt(self, call: Call) -> Any:
        call.attempts += 1
        peer = self._pick(call)
        if peer is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, call.deadline_s - time.monotonic())):
                    await self._directory.refresh()
            peer = self._pick(call)
        if peer is None:
            raise _AttemptFailed(Unreachable(service=call.domain, detail="No instance takes calls."), not_executed=True)
        call.tried.append(peer)
        return self._parse(call, peer, await self._post(call, peer))

    def _pick(self, call: Call) -> Peer | None:
        self._peers.update(self._directory.instances)
        return self._peers.pick(call.domain, avoid=call.tried, now_s=time.monotonic(), rng=self._rng)

    async def _post(self, call: Call, peer: Peer) -> Response:
        started_s = time.monotonic()
        timeout_s = self._compute_timeout_s(call, peer, started_s)
        if timeout_s <= 0.001:
            raise DeadlineExceeded(service=call.domain)
        peer.breaker.begin()
        peer.in_flight += 1
        try:
            answer = await self._http.request(
                "POST",
                peer.instance.address + wire.rpc_path(call.domain, call.signature.name),
                body=call.body,
                headers=self._build_headers(call, timeout_s),
                timeout_s=timeout_s,
            )
        except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
            raise self._on_failure(call, peer, error, timeout_s) from error
        except BaseException:  # cancelled: this says nothing about the instance
            peer.breaker.abstain()
            raise
        finally:
            peer.in_flight -= 1
        peer.breaker.succeed()
        if call.signature.limit_ms is None:
            ended_s = time.monotonic()
            peer.observe(ended_s - started_s, ended_s)
        return answer

    def _compute_timeout_s(self, call: Call, peer: Peer, now_s: float) -> float:
        remaining_s = call.deadline_s - now_s
        is_quick_read = call.signature.idempotent and call.signature.limit_ms is None
        if call.attempts == 1 and is_quick_read and self._peers.has_other(call.domain, peer):
            return remaining_s / 2  # so that one hung instance leaves time for another
        return remaining_s

    def _build_headers(self, call: Call, timeout_s: float) -> dict[str, str]:
        headers = {
            "authorization": self._bearer,
            "content-type": wire.JSON,
            wire.DEADLINE: str(max(1, int(timeout_s * 1000))),
        }
        if call.span is not None:
            headers[wire.TRACE] = call.span.to_traceparent()
        elif call.trace_id:
            with contextlib.suppress(ValueError):
                headers[wire.TRACE] = format_traceparent(call.trace_id)
        return headers

    def _on_failure(self, call: Call, peer: Peer, error: Exception, timeout_s: float) -> _AttemptFailed:
        now_s = time.monotonic()
        if isinstance(error, TimeoutError):
            if timeout_s >= _FAIR_S:
                peer.breaker.fail(now_s)
            else:
                peer.breaker.abstain()
            peer.observe(timeout_s, now_s)
            return _AttemptFailed(DeadlineExceeded(service=call.domain), not_executed=False)
        peer.breaker.fail(now_s)
        # A quick failure counts as slow; otherwise the broken instance would attract all calls.
        peer.observe(_FAILED_S, now_s)
        problem = Unreachable(service=call.domain, detail=f"{peer.instance.address}: {error}")
        return _AttemptFailed(problem, not_executed=isinstance(error, ConnectFailed))

    def _parse(self, call: Call, peer: Peer, answer: Response) -> Any:
        if answer.status == 200:
            try:
                return call.signature.decode_result(answer.body)
            except ValueError as error:
                raise ServiceFailed(service=call.domain, trace_id=call.trace_id, detail=str(error)) from error
        problem = wire.decode_problem(answer.body, call.domain, call.trace_id)
        refused = answer.headers.get(wire.REFUSED, "")
        if refused == "draining":
            peer.draining = True
        if refused in _RETRYABLE:
            raise _AttemptFailed(problem, not_executed=True)
        if refused == "key":  # a wrong mesh key is a fault of the deployment, not of the viewer's sign-in
            raise ServiceFailed(service=call.domain, trace_id=call.trace_id, detail="The mesh keys differ.")
        if isinstance(problem, DeadlineExceeded) and problem.service == call.domain:
            raise _AttemptFailed(problem, not_executed=False)  # the deadline of the attempt, not of the call
        if isinstance(problem, EngineUnavailable):
            self._on_engine_unavailable(call, peer, problem)
        raise problem

    def _on_engine_unavailable(self, call: Call, peer: Peer, problem: EngineUnavailable) -> None:
        """Try another instance once: it may still have a connection to the engine."""
        peer.observe(_FAILED_S, time.monotonic())
        if call.attempts == 1 and self._peers.has_other(call.domain, peer):
            raise _AttemptFailed(problem, not_executed=False)
