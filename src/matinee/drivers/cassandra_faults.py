"""The C++ driver's errors as problems, and the time limit of an attempt."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from acsylla import errors

from matinee.drivers.engine import EngineUnavailable, StoreEmpty, StoreFull

TICK_S: Final = 0.02
_UNAVAILABLE: Final = (
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
# Messages about tables of an engine that was restarted without its data.
_LOST: Final = ("unconfigured table", "does not exist")


class ErrorTranslation:
    """A context that raises the library's errors as problems, except bugs."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if isinstance(error, errors.CassException | TimeoutError) and (problem := self._to_problem(error)) is not None:
            raise problem from error

    def _to_problem(self, error: Exception) -> Exception | None:
        text = str(error) or "timed out"
        if "No space left" in text or "disk is full" in text:
            return StoreFull(detail=f"{self._engine} is full: free some space, then try again.")
        if isinstance(error, (TimeoutError, *_UNAVAILABLE)):
            return EngineUnavailable(engine="cassandra", detail=f"{self._engine} does not answer properly: {text}")
        if isinstance(error, _REFUSED):
            return EngineUnavailable(
                engine="cassandra", detail=f"{self._engine} rejects the user or the password: {text}"
            )
        if any(words in text for words in _LOST):
            return StoreEmpty(store="cassandra", detail=f"{self._engine} has lost its tables: {text}")
        return None


class AttemptLimits:
    """Limits attempts: `with limits.until(ends_at):` raises EngineUnavailable then, or after `attempt_s`.

    One timer checks all attempts, since a timer for each would cost more than the rest of a statement; an attempt
    therefore ends up to `TICK_S` late.
    """

    def __init__(self, translation: ErrorTranslation, attempt_s: float) -> None:
        self.translation = translation
        self._attempt_s = attempt_s
        self.running: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None

    def until(self, ends_at: float) -> Attempt:
        """Return a context for an attempt that ends by a time of the monotonic clock, with an `ErrorTranslation`."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._end_late)
        return Attempt(self, min(ends_at, time.monotonic() + self._attempt_s))

    def _end_late(self) -> None:
        now_s = time.monotonic()
        for attempt in [attempt for attempt in self.running if attempt.ends_at <= now_s]:
            attempt.cancel()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._end_late) if self.running else None


class Attempt:
    """One attempt, in the current task."""

    __slots__ = ("_cancelling", "_is_late", "_limits", "_task", "ends_at")

    def __init__(self, limits: AttemptLimits, ends_at: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "not in a task"
        self._limits, self._task, self._cancelling, self._is_late = limits, task, task.cancelling(), False
        self.ends_at = ends_at

    def __enter__(self) -> None:
        self._limits.running.add(self)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._limits.running.discard(self)
        # A cancellation from elsewhere takes precedence.
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            error = TimeoutError()
        if error is not None:
            self._limits.translation.__exit__(kind, error, trace)

    def cancel(self) -> None:
        """End the attempt at once."""
        self._limits.running.discard(self)
        self._is_late = True
        self._task.cancel()
