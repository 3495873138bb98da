"""One method of one implementation, as it is called from afar."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from matinee.kit import context, log
from matinee.kit.context import Context
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem
from matinee.mesh import wire
from matinee.mesh.api import ServiceFailed
from matinee.mesh.gauges import CallGauges
from matinee.mesh.limit import ConcurrencyLimit, Usual
from matinee.mesh.signature import Signature

_log = log.get()
DRAINING_RETRY_MS: Final = 1_000
_TELLING: Final = frozenset({"ok", DeadlineExceeded.kind()})


class Reply(NamedTuple):
    """An answer: status, JSON body, and why it was refused before any work, if it was."""

    status: int
    body: bytes
    refused: str = ""


def refusal(problem: Problem, why: str) -> Reply:
    """An answer given before any work was done."""
    return Reply(problem.status, wire.encode_problem(problem), why)


class _TurnedAway(Exception):
    """The instance drains, and this call can wait elsewhere."""


class Endpoint:
    """Takes a body and a context, gives a reply; whatever happens inside, it does not raise."""

    def __init__(
        self,
        *,
        domain: str,
        signature: Signature,
        method: Callable[..., Awaitable[Any]],
        limit: ConcurrencyLimit,
        gauges: CallGauges,
    ) -> None:
        self._domain = domain
        self._signature = signature
        self._method = method
        self._limit = limit
        self._gauges = gauges
        self._usual = Usual()
        self._movable = signature.idempotent and signature.limit_ms is not None
        self._draining = False
        self._waiting: set[asyncio.Timeout] = set()

    def drain(self) -> None:
        """Turn away calls that only wait and may be made again elsewhere; all others may finish."""
        self._draining = True
        for limit in self._waiting if self._movable else ():
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    async def answer(self, body: bytes, here: Context) -> Reply:
        """Run the method under a context, within its deadline and the domain's concurrency limit."""
        if not self._limit.enter():
            retry_after_ms = max(50, min(5_000, round(self._usual.seconds * 1000)))
            return refusal(Overloaded(retry_after_ms=retry_after_ms), "overloaded")
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            with context.activate(here):
                reply, outcome = await self._outcome(body, here)
            return reply
        finally:
            took_s = time.perf_counter() - started
            self._limit.leave(self._usual.stretch(took_s) if self._tells_load(outcome) else None)
            self._gauges.ended(outcome, took_s)

    def _tells_load(self, outcome: str) -> bool:
        # A refused argument is quick and a patient method slow whatever the load.
        return self._signature.limit_ms is None and outcome in _TELLING

    async def _outcome(self, body: bytes, here: Context) -> tuple[Reply, str]:
        try:
            return Reply(200, await self._run(body, here)), "ok"
        except _TurnedAway:
            return refusal(Overloaded(retry_after_ms=DRAINING_RETRY_MS), "draining"), "turned-away"
        except Problem as problem:
            return Reply(problem.status, wire.encode_problem(problem, here.trace_id)), problem.kind()
        except Exception:  # a bug: the story stays here, the caller gets the trace id
            _log.exception("mesh.failed", domain=self._domain, method=self._signature.name)
            failed = ServiceFailed(service=self._domain, trace_id=here.trace_id)
            return Reply(failed.status, wire.encode_problem(failed, here.trace_id)), failed.kind()

    async def _run(self, body: bytes, here: Context) -> bytes:
        arguments = self._signature.decode_arguments(body)
        return self._signature.encode_result(await self._in_time(arguments, here))

    async def _in_time(self, arguments: dict[str, Any], here: Context) -> Any:
        limit = asyncio.timeout(None if (left_ms := here.remaining_ms()) is None else left_ms / 1000)
        self._waiting.add(limit)
        try:
            async with limit:
                return await self._method(**arguments)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self._draining and self._movable and here.remaining_ms() != 0:
                raise _TurnedAway from error
            raise DeadlineExceeded(service=self._domain) from error
        finally:
            self._waiting.discard(limit)
