"""The request context: trace id, deadline, principal and span."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

import msgspec

from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.tracing import Operation, Span, Tracer


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in caller as stated by the access token.

    `profile_id` is None until a profile is chosen; `is_adult` is false for a child's profile.
    """

    account_id: AccountId
    device_id: DeviceId
    sign_in_id: SignInId
    profile_id: ProfileId | None = None
    is_adult: bool = False
    roles: tuple[str, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The context of one request. `deadline_s` is a time of the monotonic clock; without a `span` nothing is traced."""

    trace_id: str
    deadline_s: float | None = None
    principal: Principal | None = None
    span: Span | None = None

    def remaining_ms(self) -> int | None:
        """Return the milliseconds left until the deadline, at least 0; None without a deadline."""
        return None if self.deadline_s is None else max(0, round((self.deadline_s - time.monotonic()) * 1000))

    def shorten_s(self, limit_s: float) -> float:
        """Return a time limit, shortened to the time left until the deadline."""
        return limit_s if self.deadline_s is None else min(limit_s, max(0.0, self.deadline_s - time.monotonic()))


_EMPTY = Context(trace_id="")
_current: ContextVar[Context] = ContextVar("matinee_context", default=_EMPTY)


# The operations of the context variable, for hot paths: return the current context, set it, restore the previous one.
current, set_current, restore = _current.get, _current.set, _current.reset


@contextmanager
def activate(context: Context) -> Iterator[Context]:
    """Make a context the current one for a block."""
    token = set_current(context)
    try:
        yield context
    finally:
        restore(token)


@contextmanager
def with_timeout(timeout_ms: int) -> Iterator[Context]:
    """Set a deadline of `timeout_ms` for a block; an earlier deadline stays in force.

    The deadline is only recorded here. Calls between domains and drivers enforce it.
    """
    deadline_s = time.monotonic() + timeout_ms / 1000
    outer = current()
    if outer.deadline_s is not None:
        deadline_s = min(deadline_s, outer.deadline_s)
    with activate(msgspec.structs.replace(outer, deadline_s=deadline_s)) as context:
        yield context


class traced:  # noqa: N801  # used like a function: `with traced(operation):`
    """Record a block as a span of the current trace; `function` is what it runs. It makes no context of its own."""

    __slots__ = ("_function", "_operation", "_span")

    def __init__(self, operation: Operation, function: Callable[..., object] | None = None) -> None:
        self._operation = operation
        self._function = function

    def __enter__(self) -> None:
        parent = current().span
        self._span = None if parent is None else parent.start(self._operation)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._span is not None:
            if self._function is not None:
                self._span.attributes = {"code.function.name": _name_function(self._function)}
            self._span.end_with(error)


def traceparent() -> str:
    """Return the current span as a W3C `traceparent`, for work that is done later; empty where it is not kept."""
    span = current().span
    return span.to_traceparent() if span is not None and span.trace.is_kept else ""


@contextmanager
def start_trace(tracer: Tracer | None, operation: Operation, *, link: str = "") -> Iterator[None]:
    """Run a block of background work in a trace of its own; `link` is the `traceparent` of what caused it."""
    span = None if tracer is None else tracer.start(operation, link=link)
    if span is None:
        yield
        return
    with activate(msgspec.structs.replace(current(), trace_id=span.trace.trace_id, span=span)):
        try:
            yield
        except BaseException as error:
            span.end_with(error)
            raise
        span.end()


def _name_function(function: Callable[..., object]) -> str:
    named = getattr(function, "func", function)  # of a partial
    return getattr(named, "__qualname__", "").partition(".<locals>")[0]
