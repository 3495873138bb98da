"""One partition's messages, handled one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from matinee.drivers.kafka.reader import Fetched


class Lane:
    """Hands the messages of one partition to a handler, in order. `done` is the offset after the last one handled."""

    def __init__(self, handle: Callable[[Fetched], Awaitable[None]], broken: asyncio.Future[None]) -> None:
        self._handle = handle
        self._broken = broken
        self._waiting: asyncio.Queue[Fetched] = asyncio.Queue()
        self._busy = False
        self._closing = False
        self.done: int | None = None
        self.told: int | None = None  # the `done` that was last committed
        self.paused = True  # as it may have been when it was ours before; it is resumed at the next turn
        self._task = asyncio.create_task(self._work())

    def put(self, message: Fetched) -> None:
        """Queue a message."""
        self._waiting.put_nowait(message)

    @property
    def length(self) -> int:
        """How many messages wait."""
        return self._waiting.qsize()

    async def close(self, limit_s: float) -> None:
        """Begin no other message; let the one that is being handled end, or cancel it after `limit_s`."""
        self._closing = True
        if self._busy and limit_s > 0:
            await asyncio.wait({self._task}, timeout=limit_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while not self._closing:
            message = await self._waiting.get()
            self._busy = True
            try:
                await self._handle(message)
            except Exception as error:
                if not self._broken.done():
                    self._broken.set_exception(error)
                return
            self._busy = False
            self.done = message.offset + 1
