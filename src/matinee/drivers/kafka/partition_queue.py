"""The queue of one partition: its messages are handled in order, in batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from matinee.drivers.kafka.reader import FetchedMessage

BatchHandler: TypeAlias = Callable[[list[FetchedMessage]], Awaitable[None]]


class BatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a batch: its size, and how long a batch that is not full waits for more messages."""

    size: int = 500
    wait_s: float = 0.0


class PartitionQueue:
    """Passes the messages of one partition to a handler. `next_offset` follows the last handled message."""

    def __init__(self, handle: BatchHandler, limits: BatchLimits, failure: asyncio.Future[None]) -> None:
        self._handle = handle
        self._limits = limits
        self._failure = failure
        self._messages: asyncio.Queue[FetchedMessage] = asyncio.Queue()
        self._is_busy = False
        self._is_closing = False
        self.next_offset: int | None = None
        self.committed_offset: int | None = None
        self.is_paused = True  # a partition assigned again may still be paused; it is resumed at the next poll
        self._task = asyncio.create_task(self._run())

    def put(self, message: FetchedMessage) -> None:
        """Queue a message."""
        self._messages.put_nowait(message)

    @property
    def length(self) -> int:
        """The number of queued messages."""
        return self._messages.qsize()

    async def close(self, limit_s: float) -> None:
        """Start no other batch; let the current one end, and cancel it after `limit_s`."""
        self._is_closing = True
        if self._is_busy and limit_s > 0:
            await asyncio.wait({self._task}, timeout=limit_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._is_closing:
            batch = await self._next_batch()
            self._is_busy = True
            try:
                await self._handle(batch)
            except Exception as error:
                if not self._failure.done():
                    self._failure.set_exception(error)
                return
            self._is_busy = False
            self.next_offset = batch[-1].offset + 1

    async def _next_batch(self) -> list[FetchedMessage]:
        batch = [await self._messages.get()]
        self._take_queued(batch)
        if self._limits.wait_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.wait_s):
                    while len(batch) < self._limits.size:
                        batch.append(await self._messages.get())
                        self._take_queued(batch)
        return batch

    def _take_queued(self, batch: list[FetchedMessage]) -> None:
        while len(batch) < self._limits.size and not self._messages.empty():
            batch.append(self._messages.get_nowait())
