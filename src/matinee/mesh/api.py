"""The front door of the mesh: how a Protocol's methods are marked, who is there, and what is told of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem

Method = TypeVar("Method", bound=Callable[..., Any])

_IDEMPOTENT = "__mesh_idempotent__"
_LIMIT_MS = "__mesh_limit_ms__"


def idempotent(method: Method) -> Method:
    """Mark a Protocol's method that may be called twice: a pure read, or one whose second call changes nothing.

    Only marked methods are tried again after a failure that may have reached the service.
    """
    setattr(method, _IDEMPOTENT, True)
    return method


def long_running(limit_ms: int) -> Callable[[Method], Method]:
    """Mark a Protocol's method that may rightly take long: it waits for something, or works on large files.

    Its deadline is `limit_ms` (the context's own, if earlier, still holds), and how long it takes is not read
    as a sign of load.
    """

    def mark(method: Method) -> Method:
        setattr(method, _LIMIT_MS, limit_ms)
        return method

    return mark


def is_idempotent(method: Callable[..., Any]) -> bool:
    """Whether a method is marked `@idempotent`."""
    return getattr(method, _IDEMPOTENT, False)


def long_running_limit_ms(method: Callable[..., Any]) -> int | None:
    """The limit of a method marked `@patient`; None for any other."""
    return getattr(method, _LIMIT_MS, None)


class ServiceFailed(Problem, status=500):
    """A service failed; its log tells the story under this trace."""

    service: str
    trace_id: str = ""


class NotServed(Problem, status=404):
    """This is not served here."""

    service: str


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One process that serves domains. `address` is `http://host:port`; a draining one gets no new calls."""

    instance_id: InstanceId
    address: str
    services: tuple[str, ...]
    draining: bool = False


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One call between domains, as its caller saw it. `outcome` is `ok`, or the kind of the problem."""

    caller: str
    callee: str
    method: str
    duration_us: int
    outcome: str
    trace_id: str = ""
    attempts: int = 1
    remote: bool = False


class SpanRecorder(Protocol):
    """Whoever wants to know of every call."""

    def record(self, span: Span) -> None:
        """Take a call that has ended. Must not block or raise."""
