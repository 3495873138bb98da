"""Public interface of the mesh: marks for Protocol methods, and instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from matinee.kit.ids import InstanceId
from matinee.kit.problem import Problem

Method = TypeVar("Method", bound=Callable[..., Any])

_IDEMPOTENT = "__mesh_idempotent__"
_LIMIT_MS = "__mesh_limit_ms__"


def idempotent(method: Method) -> Method:
    """Mark a method of a Protocol as safe to call twice: a pure read, or one whose second call changes nothing.

    Only marked methods are retried after a failure that may have reached the service.
    """
    setattr(method, _IDEMPOTENT, True)
    return method


def long_running(limit_ms: int) -> Callable[[Method], Method]:
    """Mark a method of a Protocol as one that may take long: it waits for something or processes large files.

    Its deadline is `limit_ms` (an earlier deadline of the context stays in force), and its duration is not
    taken as a sign of load.
    """

    def mark(method: Method) -> Method:
        setattr(method, _LIMIT_MS, limit_ms)
        return method

    return mark


def is_idempotent(method: Callable[..., Any]) -> bool:
    """Return whether a method is marked `@idempotent`."""
    return getattr(method, _IDEMPOTENT, False)


def long_running_limit_ms(method: Callable[..., Any]) -> int | None:
    """Return the limit of a method marked `@long_running`, None for any other."""
    return getattr(method, _LIMIT_MS, None)


class ServiceFailed(Problem, status=500):
    """A service failed; its log has the details under this trace."""

    service: str
    trace_id: str = ""


class NotServed(Problem, status=404):
    """This is not served here."""

    service: str


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A process that serves domains at `address` (`http://host:port`). A draining one gets no new calls.

    `app_address`: where the front reaches its application, which viewers use; empty where it has none.
    """

    instance_id: InstanceId
    address: str
    app_address: str = ""
    services: tuple[str, ...]
    draining: bool = False
