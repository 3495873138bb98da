"""Registering this process, and following the registry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ticks import sleep_until_tick
from matinee.mesh.api import Instance
from matinee.mesh.ports import Registry

_log = log.get()
_LOG_INTERVAL_S: Final = 10.0


class _OutageLog:
    """Logs an outage of the registry: at its start, every ten seconds, and at its end."""

    def __init__(self) -> None:
        self._logged_at_s: float | None = None

    def on_failure(self, error: Exception) -> None:
        if self._logged_at_s is None or time.monotonic() > self._logged_at_s + _LOG_INTERVAL_S:
            _log.warning("mesh.registry_unavailable", error=repr(error))
            self._logged_at_s = time.monotonic()

    def on_success(self) -> bool:
        """Return whether this ends an outage."""
        if self._logged_at_s is None:
            return False
        _log.info("mesh.registry_available")
        self._logged_at_s = None
        return True


class Membership:
    """The registration of this process: `run` keeps it until cancelled; `drain`, then `leave` end it for good."""

    def __init__(
        self, *, registry: Registry, instance: Instance, clock: Clock, renew_s: float = 1.0, lease_s: float = 5.0
    ) -> None:
        self.instance = instance
        self._registry = registry
        self._clock = clock
        self._renew_s = renew_s
        self._lease_s = lease_s
        self._has_left = False
        self._outage = _OutageLog()

    async def join(self) -> None:
        """Register this process."""
        if self._has_left:
            return
        await self._registry.register(instance=self.instance, lease_s=self._lease_s, now=self._clock.now())

    async def renew(self) -> None:
        """Extend the lease; register again when it has expired."""
        is_registered = await self._registry.renew(
            instance_id=self.instance.instance_id, lease_s=self._lease_s, now=self._clock.now()
        )
        if not is_registered:
            _log.info("mesh.registering", instance_id=self.instance.instance_id, services=self.instance.services)
            await self.join()

    async def run(self) -> None:
        """Register and renew until cancelled, also through outages of the registry."""
        while True:
            try:
                await self.renew()
                self._outage.on_success()
            except Exception as error:  # callers keep the last list they have read
                self._outage.on_failure(error)
            await sleep_until_tick(self._renew_s)

    async def drain(self) -> None:
        """Mark this process as draining, so that it gets no new calls."""
        self.instance = msgspec.structs.replace(self.instance, draining=True)
        await self._attempt(self._registry.drain(instance_id=self.instance.instance_id))

    async def leave(self) -> None:
        """Deregister this process."""
        self._has_left = True
        await self._attempt(self._registry.deregister(instance_id=self.instance.instance_id))

    async def _attempt(self, change: Awaitable[None]) -> None:
        try:
            await change
        except Exception as error:  # an outage must not prevent shutdown; the lease expires by itself
            _log.warning("mesh.registry_unavailable", error=repr(error))


class Directory:
    """The last list read from the registry, which stays in use while the registry is unavailable.

    For `settle_s` after an outage, instances missing from the list are kept: a registry that came back without its
    data gets all registrations again within that time.
    """

    def __init__(self, *, registry: Registry, clock: Clock, poll_s: float = 0.5, settle_s: float = 5.0) -> None:
        self.instances: tuple[Instance, ...] = ()
        self._registry = registry
        self._clock = clock
        self._poll_s = poll_s
        self._settle = timedelta(seconds=settle_s)
        self._settled_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None
        self._outage = _OutageLog()

    async def refresh(self) -> None:
        """Read the list now; concurrent callers share one read. Never fails: the previous list stays in use."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            await self.refresh()
            await self._registry.wait_for_change(poll_s=self._poll_s)

    async def _read(self) -> None:
        try:
            listed = await self._registry.list_instances(now=self._clock.now())
        except Exception as error:
            self._outage.on_failure(error)
            return
        if self._outage.on_success():
            self._settled_at = self._clock.now() + self._settle
        if self._settled_at is not None:
            listed = self._add_missing(listed, self._settled_at)
        if listed != self.instances:
            self.instances = listed

    def _add_missing(self, listed: tuple[Instance, ...], settled_at: datetime) -> tuple[Instance, ...]:
        if not timedelta(0) < settled_at - self._clock.now() <= self._settle:
            self._settled_at = None
            return listed
        merged = {instance.instance_id: instance for instance in self.instances if not instance.draining}
        merged |= {instance.instance_id: instance for instance in listed}
        return tuple(merged[instance_id] for instance_id in sorted(merged))
