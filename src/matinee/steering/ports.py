"""What steering needs of the outside: a place where the fleet is known after a restart, and to its other instances."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from matinee.kit.ids import EdgeId
from matinee.steering.model import Member


class FleetStore(Protocol):
    """The edges that were heard of."""

    async def save(self, members: list[Member]) -> None:
        """Keep reports and when they came; an older one changes nothing, and draining is not touched."""

    async def load(self, since: datetime) -> list[Member]:
        """Edges heard of since then."""

    async def set_draining(self, edge_id: EdgeId, draining: bool) -> bool:
        """Keep whether an edge drains; tells whether there is such an edge."""

    async def forget(self, before: datetime) -> None:
        """Drop edges not heard of since then."""
