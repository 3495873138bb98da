"""Calls to services in other processes."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from matinee.drivers.http import HttpClient
from matinee.kit import context
from matinee.kit.tracing import Operation
from matinee.mesh.dispatch import Call, Dispatcher
from matinee.mesh.membership import Directory
from matinee.mesh.service import LIMIT_MS
from matinee.mesh.signature import AsyncFunction, Signature, bind


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
        limit_ms: int = LIMIT_MS,
    ) -> None:
        self.limit_ms = limit_ms
        self._operations: dict[tuple[str, str, str], Operation] = {}
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
        operation = self._build_operation(caller, domain, signature)
        span = None if outer.span is None else outer.span.start(operation, started_s)
        call = Call(domain, signature, signature.encode_arguments(arguments), deadline_s, outer.trace_id, span)
        failure: BaseException | None = None
        try:
            return await self._dispatcher.send(call)
        except BaseException as error:
            failure = error
            raise
        finally:
            if span is not None:
                if call.attempts > 1:
                    span.attributes = {"matinee.attempts": call.attempts}
                span.end_with(failure)

    def _build_operation(self, caller: str, domain: str, signature: Signature) -> Operation:
        key = (caller, domain, signature.name)
        if key not in self._operations:
            self._operations[key] = signature.to_operation(domain, "client", **{"matinee.caller": caller})
        return self._operations[key]


def bind_remote(protocol: type[Any], domain: str, client: MeshClient, *, caller: str = "") -> Any:
    """Return an object whose methods call the domain in another process; `caller` names the calling domain."""

    def implement(signature: Signature) -> AsyncFunction:
        async def call(**arguments: Any) -> Any:
            return await client.call(caller, domain, signature, arguments)

        return call

    return bind(protocol, implement)
