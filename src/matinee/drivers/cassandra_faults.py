"""What the C++ driver's errors mean, and how long one attempt may take."""

from __future__ import annotations

import asyncio
from typing import Final

from acsylla import errors

from matinee.drivers.engine import EngineAway, StoreEmpty, StoreFull

_AWAY: Final = (
    errors.CassErrorLibNoHostsAvailable,
    errors.CassErrorLibRequestTimedOut,
    errors.CassErrorLibRequestQueueFull,
    errors.CassErrorLibNoStreams,
    errors.CassErrorLibWriteError,
    errors.CassErrorLibUnableToConnect,
    errors.CassErrorLibUnableToDetermineProtocol,
    errors.CassErrorServerUnavailable,
    errors.CassErrorServerOverloaded,
    errors.CassErrorServerIsBootstrapping,
    errors.CassErrorServerWriteTimeout,
    errors.CassErrorServerReadTimeout,
    errors.CassErrorServerWriteFailure,
    errors.CassErrorServerReadFailure,
    errors.CassErrorServerServerError,
)
_REFUSED: Final = (errors.CassErrorServerBadCredentials, errors.CassErrorServerUnauthorized)
# What Cassandra says of tables that an engine had before it was started again without its data.
_LOST: Final = ("unconfigured table", "does not exist")


class Told:
    """A context that turns the library's errors into Problems; what is a mistake of ours goes through."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if isinstance(error, errors.CassException | TimeoutError) and (problem := self._problem(error)) is not None:
            raise problem from error

    def _problem(self, error: Exception) -> Exception | None:
        text = str(error) or "it took too long"
        if "No space left" in text or "disk is full" in text:
            return StoreFull(detail=f"{self._engine} is full: free some room, then try again.")
        if isinstance(error, (TimeoutError, *_AWAY)):
            return EngineAway(engine="cassandra", detail=f"{self._engine} does not answer as it should: {text}")
        if isinstance(error, _REFUSED):
            return EngineAway(engine="cassandra", detail=f"{self._engine} refuses the user or the password: {text}")
        if any(words in text for words in _LOST):
            return StoreEmpty(store="cassandra", detail=f"{self._engine} has lost its tables: {text}")
        return None


class Limit:
    """`asyncio.timeout` within `Told`, at a quarter of the price: it is paid for every statement."""

    __slots__ = ("_cancelling", "_late", "_task", "_timer", "_told")

    def __init__(self, limit_s: float, told: Told) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "outside of a task"
        self._task, self._cancelling, self._late, self._told = task, task.cancelling(), False, told
        self._timer = loop.call_later(limit_s, self._end)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        # Where somebody else has cancelled the task as well, it is theirs that counts.
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            error = TimeoutError()
        if error is not None:
            self._told.__exit__(kind, error, trace)

    def _end(self) -> None:
        self._late = True
        self._task.cancel()
