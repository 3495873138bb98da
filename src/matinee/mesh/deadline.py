"""Running an awaitable until a deadline, at no cost when it never suspends."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _Timer:
    """Cancels the current task at a deadline. `expired` tells that cancellation from any other."""

    __slots__ = ("_cancelling", "_handle", "_task", "expired")

    def __init__(self, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must run in a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._handle = loop.call_at(deadline_s, self._expire)
        self.expired = False

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()

    def stop(self) -> bool:
        """Disarm the timer. Return whether a pending cancellation was only its own."""
        self._handle.cancel()
        return self.expired and self._task.uncancel() <= self._cancelling


@types.coroutine
def run_until(awaitable: Awaitable[T], deadline_s: float) -> Generator[Any, Any, T]:
    """Await something; raise TimeoutError when it has not ended by `deadline_s` of the event loop's clock.

    Unlike `asyncio.timeout`, the timer is only armed when the awaitable suspends for the first time.
    """
    steps = awaitable.__await__()
    try:
        pending = next(steps)
    except StopIteration as finished:
        result: T = finished.value
        return result
    timer = _Timer(deadline_s)
    try:
        result = yield from _resume(steps, pending)
    except asyncio.CancelledError as error:
        if timer.stop():
            raise TimeoutError from error
        raise
    except BaseException:
        timer.stop()
        raise
    timer.stop()
    return result


def _resume(steps: Generator[Any, Any, T], pending: Any) -> Generator[Any, Any, T]:
    """Continue an awaitable that has yielded `pending`."""
    while True:
        try:
            yield pending
        except BaseException as error:
            try:
                pending = steps.throw(error)
            except StopIteration as finished:
                result: T = finished.value
                return result
        else:
            return (yield from steps)
