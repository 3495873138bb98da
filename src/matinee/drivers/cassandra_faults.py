"""What the C++ driver's errors mean, and how long one attempt may take."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from acsylla import errors

from matinee.drivers.engine import EngineUnavailable, StoreEmpty, StoreFull

TICK_S: Final = 0.02
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
            return EngineUnavailable(engine="cassandra", detail=f"{self._engine} does not answer as it should: {text}")
        if isinstance(error, _REFUSED):
            return EngineUnavailable(
                engine="cassandra", detail=f"{self._engine} refuses the user or the password: {text}"
            )
        if any(words in text for words in _LOST):
            return StoreEmpty(store="cassandra", detail=f"{self._engine} has lost its tables: {text}")
        return None


class Limits:
    """How long each attempt may take: `with limits.until(ends_at):` raises EngineUnavailable after `attempt_s`, or then.

    It is paid for every statement, and a timer of the loop costs more than the rest of one: so one timer looks after
    all, and an attempt ends up to `TICK_S` late.
    """

    def __init__(self, told: Told, attempt_s: float) -> None:
        self.told = told
        self._attempt_s = attempt_s
        self.running: set[Limit] = set()
        self._timer: asyncio.TimerHandle | None = None

    def until(self, ends_at: float) -> Limit:
        """A context for one attempt of a call that has to end by then (monotonic, in seconds).

        Errors of the library become Problems in it, as in `Told`.
        """
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)
        return Limit(self, min(ends_at, time.monotonic() + self._attempt_s))

    def _look(self) -> None:
        now_s = time.monotonic()
        for limit in [limit for limit in self.running if limit.ends_at <= now_s]:
            limit.end()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look) if self.running else None


class Limit:
    """One attempt of one task."""

    __slots__ = ("_cancelling", "_late", "_limits", "_task", "ends_at")

    def __init__(self, limits: Limits, ends_at: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "outside of a task"
        self._limits, self._task, self._cancelling, self._late = limits, task, task.cancelling(), False
        self.ends_at = ends_at

    def __enter__(self) -> None:
        self._limits.running.add(self)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._limits.running.discard(self)
        # Where somebody else has cancelled the task as well, it is theirs that counts.
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            error = TimeoutError()
        if error is not None:
            self._limits.told.__exit__(kind, error, trace)

    def end(self) -> None:
        """Break the attempt off."""
        self._limits.running.discard(self)
        self._late = True
        self._task.cancel()
