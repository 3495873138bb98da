"""A thread that does one thing after another for the event loop, and holds nobody up who leaves."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Worker:
    """One daemon thread: unlike an executor's it may be abandoned in the middle of a call that does not return."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, work: Callable[[], Any]) -> Any:
        """Have something done there, and wait for it."""
        done: Future[Any] = Future()
        self._queue.put((work, done))
        return await asyncio.wrap_future(done)

    def end(self) -> None:
        """End the thread after what it has been given."""
        self._queue.put(None)

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            work, done = given
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except BaseException as error:  # handed to whoever asked
                done.set_exception(error)
