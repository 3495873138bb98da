"""The dependencies of steering."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.kit.ids import EdgeId
from matinee.steering.model import FleetMember


class FleetStore(Protocol):
    """The edges of the fleet. `is_shared`: several instances of steering may use the store."""

    is_shared: bool

    async def save(self, members: list[FleetMember]) -> None:
        """Store reports and their times; an older report changes nothing, and `draining` stays.

        A stored report whose time is ahead of the new one's by more than clocks differ is replaced.
        """

    async def load(self, since: datetime) -> list[FleetMember]:
        """Return the edges with a heartbeat since a time."""

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        """Store whether an edge is draining; return whether the edge exists."""

    async def delete_inactive(self, before: datetime) -> None:
        """Delete the edges without a heartbeat since a time."""
