"""The work queue port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from matinee.kit.page import Page
from matinee.mesh.queue.items import ClaimStatus, WorkItem, WorkState

Item = TypeVar("Item", bound=WorkItem)


class WorkQueue(Protocol[Item]):
    """Items and their claims. A claim lasts until its lease ends; saving the item renews it."""

    async def add(self, *, item: Item, key: str) -> Item:
        """Queue an item, or return the unfinished one of the same key."""

    async def find(self, *, item_id: str) -> Item | None:
        """Return an item as last saved, or None where it does not exist."""

    async def list_items(self, *, state: WorkState | None, cursor: str | None, limit: int) -> Page[Item]:
        """List items, newest first."""

    async def claim(self, *, owner: str, now: datetime, lease_until: datetime) -> Item | None:
        """Claim the free item of the highest priority, of equals the oldest, and count an attempt.

        A free item whose cancellation was requested is cancelled instead. Times that are ahead of `now` by more than
        a lease or a delay lasts are from a clock that was ahead: such a delay has passed, such a lease ends at
        `lease_until`.
        """

    async def save(
        self,
        *,
        item: Item,
        owner: str,
        lease_until: datetime | None = None,
        available_at: datetime | None = None,
        records: Sequence[bytes] = (),
    ) -> ClaimStatus:
        """Save an item claimed by `owner`, with encoded facts, and extend the claim to `lease_until`.

        In any state but `running` the claim ends; a queued item waits until `available_at`. Returns `lost`, and
        saves nothing, when the claim is no longer the owner's; `cancelled` when cancellation was requested.
        """

    async def cancel(self, *, item_id: str, now: datetime) -> Item | None:
        """Cancel a waiting item; request cancellation of a running one. Idempotent. None: it does not exist."""

    async def retry(self, *, item_id: str, now: datetime) -> Item | None:
        """Queue a failed or cancelled item again, or return an unfinished one of its key. None: it does not exist."""
