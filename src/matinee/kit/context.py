"""The request context: trace id, deadline and principal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in caller as stated by the access token; `profile_id` is None until a profile is chosen."""

    account_id: AccountId
    device_id: DeviceId
    sign_in_id: SignInId
    profile_id: ProfileId | None = None
    roles: tuple[str, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The context of one request; `deadline_s` is a time of the monotonic clock."""

    trace_id: str
    deadline_s: float | None = None
    principal: Principal | None = None

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
