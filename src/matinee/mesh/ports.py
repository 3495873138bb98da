"""Dependencies of the mesh."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Protocol

from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance


class Registry(Protocol):
    """The registered instances. One that is not renewed within its lease is dropped.

    `uses_engine_clock`: leases run by the engine's clock and `now` is ignored. `registers_itself`: instances register,
    renew, drain and deregister themselves; otherwise a cluster does it and these methods have no effect.
    """

    uses_engine_clock: ClassVar[bool]
    registers_itself: ClassVar[bool]

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        """Add or replace an instance."""

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        """Extend a lease from now; False when it has expired and the instance must register again."""

    async def drain(self, *, instance_id: InstanceId) -> None:
        """Mark an instance as draining. Idempotent; an unknown instance is ignored."""

    async def deregister(self, *, instance_id: InstanceId) -> None:
        """Remove an instance. Idempotent."""

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        """Return all instances with a valid lease, draining ones included, ordered by id."""

    async def wait_for_change(self, *, poll_s: float) -> None:
        """Return soon after a change, or after `poll_s` where the engine does not report changes."""
