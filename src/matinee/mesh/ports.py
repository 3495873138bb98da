"""What the mesh needs of the outside."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Protocol

from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance


class Registry(Protocol):
    """Who serves what. An instance that is not renewed within its lease is no longer there.

    `uses_engine_clock`: leases run by the engine's clock, and `now` is not looked at. `registers_itself`: an instance registers,
    renews, drains and leaves by itself; else a cluster does that for it, and these methods do nothing.
    """

    uses_engine_clock: ClassVar[bool]
    registers_itself: ClassVar[bool]

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        """Enter an instance, or replace what is said of it."""

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        """Extend a lease from now on; False where there is none any more, so that one registers again."""

    async def drain(self, *, instance_id: InstanceId) -> None:
        """Let an instance have no new calls. Idempotent; an unknown one is left alone."""

    async def deregister(self, *, instance_id: InstanceId) -> None:
        """Take an instance out. Idempotent."""

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        """Every instance whose lease holds, draining ones included, in the order of their ids."""

    async def wait_for_change(self, *, poll_s: float) -> None:
        """Return when it is worth looking again: soon after a change, or after `poll_s` where nothing tells of one."""
