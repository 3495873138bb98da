"""One method of one implementation, served to remote callers."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NamedTuple

from matinee.kit import context
from matinee.kit.context import Context
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem
from matinee.mesh import wire
from matinee.mesh.service import ServiceMethod

DRAINING_RETRY_MS: Final = 1_000


class Reply(NamedTuple):
    """A response: status, JSON body, and the reason when it was refused before any work."""

    status: int
    body: bytes
    refused: str = ""


def refuse(problem: Problem, reason: str) -> Reply:
    """Build a response given before any work was done."""
    return Reply(problem.status, wire.encode_problem(problem), reason)


class _Redirected(Exception):
    """The instance drains, and this call can wait on another one."""


class Endpoint:
    """Runs a method for a remote caller: body and context in, reply out. Never raises."""

    def __init__(self, method: ServiceMethod) -> None:
        self.operation = method.signature.to_operation(method.domain, "server")
        self._method = method
        self._signature = method.signature
        self._is_movable = method.signature.idempotent and method.signature.limit_ms is not None
        self._draining = False
        self._timeouts: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """Interrupt calls that only wait and can be repeated on another instance; all others may finish."""
        self._draining = True
        for timeout in self._timeouts if self._is_movable else ():
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    async def reply(self, body: bytes, call_context: Context) -> Reply:
        """Run the method under a context, within its deadline and the concurrency limit of the domain."""
        outcome, status = "cancelled", 0
        try:
            if not self._method.limit.acquire():
                outcome = "overloaded"
                return refuse(self._method.refuse(), outcome)
            started_s = time.perf_counter()
            try:
                with context.activate(call_context):
                    reply, outcome = await self._run(body, call_context)
                status = reply.status
                return reply
            finally:
                self._method.finish(outcome, time.perf_counter() - started_s)
        finally:
            if call_context.span is not None:
                call_context.span.end(outcome, failed=status >= 500 and outcome != "redirected")

    async def _run(self, body: bytes, call_context: Context) -> tuple[Reply, str]:
        try:
            arguments = self._signature.decode_arguments(body)
            result = await self._call(arguments, call_context)
            return Reply(200, self._signature.encode_result(result)), "ok"
        except _Redirected:
            return refuse(Overloaded(retry_after_ms=DRAINING_RETRY_MS), "draining"), "redirected"
        except Problem as problem:
            return Reply(problem.status, wire.encode_problem(problem, call_context.trace_id)), problem.kind()
        except Exception:
            failed = self._method.fail(call_context.trace_id)
            return Reply(failed.status, wire.encode_problem(failed, call_context.trace_id)), failed.kind()

    async def _call(self, arguments: dict[str, Any], call_context: Context) -> Any:
        remaining_ms = call_context.remaining_ms()
        timeout = asyncio.timeout(None if remaining_ms is None else remaining_ms / 1000)
        self._timeouts.add(timeout)
        try:
            async with timeout:
                return await self._method.target(**arguments)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            if self._draining and self._is_movable and call_context.remaining_ms() != 0:
                raise _Redirected from error
            raise DeadlineExceeded(service=self._method.domain) from error
        finally:
            self._timeouts.discard(timeout)
