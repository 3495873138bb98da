"""A registry in memory, for one process."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from matinee.kit.ids import InstanceId
from matinee.mesh.adapters.lease_times import LeaseTimes
from matinee.mesh.api import Instance


class MemoryRegistry:
    """Implements `Registry` in a dict."""

    uses_engine_clock: ClassVar[bool] = False
    registers_itself: ClassVar[bool] = True

    def __init__(self) -> None:
        self._entries: dict[InstanceId, tuple[Instance, datetime]] = {}
        self._leases = LeaseTimes()

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        self._entries[instance.instance_id] = (instance, now + timedelta(seconds=lease_s))

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        instance, expires_at = self._entries.get(instance_id, (None, now))
        if instance is None or expires_at <= now:
            return False
        self._entries[instance_id] = (instance, now + timedelta(seconds=lease_s))
        return True

    async def drain(self, *, instance_id: InstanceId) -> None:
        if entry := self._entries.get(instance_id):
            instance, expires_at = entry
            self._entries[instance_id] = (msgspec.structs.replace(instance, draining=True), expires_at)

    async def deregister(self, *, instance_id: InstanceId) -> None:
        self._entries.pop(instance_id, None)

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        expiries = {i: expires_at for i, (_, expires_at) in self._entries.items() if expires_at > now}
        return tuple(self._entries[i][0] for i in sorted(self._leases.select_live(expiries, now)))

    async def wait_for_change(self, *, poll_s: float) -> None:
        await asyncio.sleep(poll_s)
