"""Items of a work queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec

WorkState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
ClaimStatus: TypeAlias = Literal["active", "cancelled", "lost"]

# No item waits longer than this before its next attempt.
LONGEST_DELAY: Final = timedelta(hours=1)


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work. A domain's subclass adds what to do and its progress, and defines `item_id`.

    `traceparent` names the trace of the request that queued it.
    """

    state: WorkState
    created_at: datetime
    updated_at: datetime
    attempts: int = 0
    reason: str = ""
    traceparent: str = ""

    @property
    def item_id(self) -> str:
        """The id of the item; ids are time-ordered."""
        raise NotImplementedError

    @property
    def priority(self) -> int:
        """The priority of the item: higher ones are claimed first."""
        return 0


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often an item is attempted, and how long it waits: each delay is `factor` times the previous one.

    `wait_s` is the delay of an item that waits for a change outside.
    """

    max_attempts: int = 5
    first_delay_s: float = 5.0
    factor: float = 4.0
    wait_s: float = 15.0

    def compute_delay(self, attempts: int) -> timedelta:
        """Return the delay after an attempt."""
        delay = timedelta(seconds=self.first_delay_s * self.factor ** max(0, attempts - 1))
        return min(delay, LONGEST_DELAY)
