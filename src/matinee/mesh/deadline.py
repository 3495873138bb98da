"""A timing wheel: cancels tasks at their deadlines at a tenth of the cost of a timer each."""

from __future__ import annotations

import asyncio
from typing import Any, Final

# Deadlines are rounded up to the next tick of the event loop's clock.
TICKS_PER_S: Final = 100


class Deadline:
    """A deadline of the current task. `stop` must be called in any case."""

    __slots__ = ("_cancelling", "_slot", "_task", "expired")

    def __init__(self, task: asyncio.Task[Any], slot: set[Deadline]) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._slot = slot
        self.expired = False
        slot.add(self)

    def expire(self) -> None:
        """Cancel the task."""
        self.expired = True
        self._task.cancel()

    def stop(self) -> bool:
        """End the deadline; return True if it has cancelled the task and nothing else has."""
        self._slot.discard(self)
        return self.expired and self._task.uncancel() <= self._cancelling


class DeadlineWheel:
    """The deadlines of the tasks of one event loop, in slots by tick with one timer each."""

    def __init__(self) -> None:
        self._slots: dict[int, set[Deadline]] = {}

    def start(self, deadline_s: float) -> Deadline:
        """Cancel the current task at a time of the event loop's clock."""
        tick = int(deadline_s * TICKS_PER_S) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            asyncio.get_running_loop().call_at(tick / TICKS_PER_S, self._expire, tick)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task")
        return Deadline(task, slot)

    def _expire(self, tick: int) -> None:
        for deadline in self._slots.pop(tick):
            deadline.expire()
