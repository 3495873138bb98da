"""The common part of the outboxes on SQL and Redis: relaying in batches, repeatedly.

An outbox holds facts that were stored with the state that they describe, and relays them to the log at least once and
in order. The log drops duplicates by the fact's id.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from matinee.kit import log
from matinee.kit.ticks import compute_tick

Key = TypeVar("Key")
Append: TypeAlias = Callable[[list[bytes]], Awaitable[None]]
BATCH: Final = 500
# An outbox is read this often without a notification, since the process that stored a fact may have ended.
IDLE_S: Final = 5.0
# Facts stored within this time are relayed as one batch: a batch costs two commits, whatever its size.
GATHER_S: Final = 0.05
RETRY_S: Final = 1.0
_log = log.get()


class RelayLoop:
    """Repeats `relay` after each notification, and every `IDLE_S`. `name` is the outbox's in the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wake = asyncio.Event()
        self._due_s = math.inf

    def notify(self, *, within_s: float = 0.0) -> None:
        """Relay within this time, without waiting for `IDLE_S`: with more time, more facts share a batch."""
        due_s = time.monotonic() + within_s
        if due_s < self._due_s:
            self._due_s = due_s
            self._wake.set()

    async def run(self, relay: Callable[[], Awaitable[object]]) -> None:
        """Repeat until cancelled; facts stay in the outbox while the log or the engine is unavailable."""
        while True:
            self._due_s = math.inf
            try:
                await relay()
            except Exception as error:
                _log.warning("outbox.retry", outbox=self._name, error=repr(error))
                await asyncio.sleep(RETRY_S)
                continue
            now_s = time.monotonic()
            earliest_s, latest_s = now_s + GATHER_S, compute_tick(IDLE_S, now_s)
            while (left_s := min(max(self._due_s, earliest_s), latest_s) - time.monotonic()) > 0:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._wake.wait()


async def relay_batches(
    append: Append,
    *,
    read: Callable[[], Awaitable[Sequence[tuple[Key, bytes]]]],
    delete: Callable[[list[Key]], Awaitable[None]],
) -> int:
    """Append the records that `read` returns by key, and delete them, while batches are full; return their number."""
    sent = 0
    while batch := await read():
        await append([record for _, record in batch])
        await delete([key for key, _ in batch])
        sent += len(batch)
        if len(batch) < BATCH:
            break
    return sent
