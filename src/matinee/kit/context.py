"""What travels with a request: its trace, its deadline, and who asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the access token says; `profile_id` is empty until one is chosen."""

    account_id: AccountId
    device_id: DeviceId
    sign_in_id: SignInId
    profile_id: ProfileId | None = None
    roles: tuple[str, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A request's trace id and its deadline on the monotonic clock, in seconds."""

    trace_id: str
    deadline_s: float | None = None
    principal: Principal | None = None

    def remaining_ms(self) -> int | None:
        """Milliseconds left, never below 0; None where there is no deadline."""
        return None if self.deadline_s is None else max(0, round((self.deadline_s - time.monotonic()) * 1000))


_NOTHING = Context(trace_id="")
_current: ContextVar[Context] = ContextVar("matinee_context", default=_NOTHING)


def current() -> Context:
    """The context of the running task."""
    return _current.get()


@contextmanager
def activate(context: Context) -> Iterator[Context]:
    """Run a block under a context."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


@contextmanager
def with_timeout(limit_ms: int) -> Iterator[Context]:
    """Run a block with at most `limit_ms` left; an earlier deadline stays."""
    asked = time.monotonic() + limit_ms / 1000
    here = current()
    deadline_s = asked if here.deadline_s is None else min(asked, here.deadline_s)
    with activate(msgspec.structs.replace(here, deadline_s=deadline_s)) as context:
        yield context
