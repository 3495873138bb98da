"""Calls of a Protocol's methods, in another process or in this one, with the same behaviour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

from matinee.drivers.http import HttpClient
from matinee.kit import context, log
from matinee.kit.problem import Problem
from matinee.mesh import wire
from matinee.mesh.api import ServiceFailed, Span, SpanRecorder
from matinee.mesh.dispatch import Call, Dispatcher
from matinee.mesh.membership import Directory
from matinee.mesh.signature import Signature, read_signatures

_log = log.get()
LIMIT_MS: Final = 5_000


class MeshClient:
    """The client of one process: pooled connections, and the state of every instance.

    `key` is the secret that hosts require; `limit_ms` is the deadline of a call unless its context has an earlier one.
    """

    def __init__(
        self,
        *,
        http: HttpClient,
        directory: Directory,
        key: str,
        rng: Random,
        recorder: SpanRecorder | None = None,
        limit_ms: int = LIMIT_MS,
    ) -> None:
        self.recorder = recorder
        self.limit_ms = limit_ms
        self._dispatcher = Dispatcher(http=http, directory=directory, key=key, rng=rng)

    async def call(self, caller: str, domain: str, signature: Signature, arguments: dict[str, Any]) -> Any:
        """Make one call and return its result.

        Raises the problems of the method, and Unreachable, DeadlineExceeded, Overloaded, ServiceFailed, NotServed.
        """
        started_s = time.monotonic()
        outer = context.current()
        deadline_s = started_s + (signature.limit_ms or self.limit_ms) / 1000
        if outer.deadline_s is not None and outer.deadline_s < deadline_s:
            deadline_s = outer.deadline_s
        call = Call(domain, signature, signature.encode_arguments(arguments), deadline_s, outer.trace_id)
        outcome = "ok"
        try:
            return await self._dispatcher.send(call)
        except BaseException as error:
            outcome = _describe(error)
            raise
        finally:
            _record(self.recorder, caller, domain, signature, started_s, outcome, call.attempts)


def bind_remote(protocol: type[Any], domain: str, client: MeshClient, *, caller: str = "") -> Any:
    """Return an object whose methods call the domain in another process; `caller` names the calling domain."""

    def method(signature: Signature) -> Callable[..., Awaitable[Any]]:
        async def call(**arguments: Any) -> Any:
            return await client.call(caller, domain, signature, arguments)

        return call

    return _proxy(protocol, method)


def bind_local(
    protocol: type[Any],
    domain: str,
    implementation: object,
    *,
    caller: str = "",
    recorder: SpanRecorder | None = None,
    force_wire: bool = False,
) -> Any:
    """Record the calls of an implementation in this process; without a recorder return the implementation itself.

    `force_wire` encodes and decodes arguments, result and problems, so that a test gets what a remote caller gets.
    """
    if recorder is None and not force_wire:
        return implementation

    def method(signature: Signature) -> Callable[..., Awaitable[Any]]:
        target = getattr(implementation, signature.name)
        if force_wire:
            target = _through_wire(domain, signature, target)

        async def call(**arguments: Any) -> Any:
            started_s = time.monotonic()
            outcome = "ok"
            try:
                return await target(**arguments)
            except BaseException as error:
                outcome = _describe(error)
                raise
            finally:
                _record(recorder, caller, domain, signature, started_s, outcome, 0)

        return call

    return _proxy(protocol, method)


def _proxy(protocol: type[Any], method: Callable[[Signature], Callable[..., Awaitable[Any]]]) -> Any:
    methods = {name: staticmethod(method(signature)) for name, signature in read_signatures(protocol).items()}
    return type(f"{protocol.__name__}Proxy", (), {"__doc__": protocol.__doc__, **methods})()


def _through_wire(
    domain: str, signature: Signature, target: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    async def call(**arguments: Any) -> Any:
        decoded = signature.decode_arguments(signature.encode_arguments(arguments))
        try:
            body = signature.encode_result(await target(**decoded))
        except Problem as problem:
            raise wire.decode_problem(wire.encode_problem(problem), domain) from problem
        except Exception as error:
            _log.exception("call.failed", domain=domain, method=signature.name)
            raise ServiceFailed(service=domain, trace_id=context.current().trace_id) from error
        return signature.decode_result(body)

    return call


def _describe(error: BaseException) -> str:
    if isinstance(error, Problem):
        return error.kind()
    return "cancelled" if isinstance(error, asyncio.CancelledError) else ServiceFailed.kind()


def _record(
    recorder: SpanRecorder | None,
    caller: str,
    callee: str,
    signature: Signature,
    started_s: float,
    outcome: str,
    attempts: int,
) -> None:
    if recorder is not None:
        recorder.record(
            Span(
                caller=caller,
                callee=callee,
                method=signature.name,
                duration_us=round((time.monotonic() - started_s) * 1e6),
                outcome=outcome,
                trace_id=context.current().trace_id,
                attempts=max(1, attempts),
                remote=attempts > 0,
            )
        )
