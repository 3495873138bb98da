"""Being in the registry, and following it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.mesh.api import Instance
from matinee.mesh.ports import Registry

_log = log.get()
_SAY_S: Final = 10.0


class _Away:
    """Says in the log that the registry is away: at once, then every ten seconds; and when it is back."""

    def __init__(self) -> None:
        self._said_s: float | None = None

    def failed(self, error: Exception) -> None:
        if self._said_s is None or time.monotonic() > self._said_s + _SAY_S:
            _log.warning("mesh.registry_away", error=repr(error))
            self._said_s = time.monotonic()

    def answered(self) -> bool:
        """Tells whether it was away until now."""
        if self._said_s is None:
            return False
        _log.info("mesh.registry_back")
        self._said_s = None
        return True


class Membership:
    """This process's own entry. `run` keeps it alive until cancelled; `drain`, then `leave` end it for good."""

    def __init__(
        self, *, registry: Registry, instance: Instance, clock: Clock, renew_s: float = 1.0, lease_s: float = 5.0
    ) -> None:
        self.instance = instance
        self._registry = registry
        self._clock = clock
        self._renew_s = renew_s
        self._lease_s = lease_s
        self._left = False
        self._away = _Away()

    async def join(self) -> None:
        """Enter the registry."""
        if self._left:
            return
        await self._registry.register(instance=self.instance, lease_s=self._lease_s, now=self._clock.now())

    async def renew(self) -> None:
        """Extend the lease; enter again where it has run out."""
        held = await self._registry.renew(
            instance_id=self.instance.instance_id, lease_s=self._lease_s, now=self._clock.now()
        )
        if not held:
            _log.info("mesh.registering", instance_id=self.instance.instance_id, services=self.instance.services)
            await self.join()

    async def run(self) -> None:
        """Enter, then renew for ever; while the registry is away, keep trying."""
        while True:
            try:
                await self.renew()
                self._away.answered()
            except Exception as error:  # the registry may be away: our callers keep the last list they saw
                self._away.failed(error)
            await asyncio.sleep(self._renew_s)

    async def drain(self) -> None:
        """Let no new calls come. The entry stays, marked, until `leave`."""
        self.instance = msgspec.structs.replace(self.instance, draining=True)
        await self._at_best(self._registry.drain(instance_id=self.instance.instance_id))

    async def leave(self) -> None:
        """Take the entry out."""
        self._left = True
        await self._at_best(self._registry.deregister(instance_id=self.instance.instance_id))

    async def _at_best(self, last_word: Awaitable[None]) -> None:
        try:
            await last_word
        except Exception as error:  # a registry that is away must not keep us from ending; the lease runs out
            _log.warning("mesh.registry_away", error=repr(error))


class Directory:
    """The registry's list as last seen; it is kept while the registry is away.

    For `settle_s` after that, who was there and is missing is still listed: a registry that came back without its data
    hears of everybody again within that time, and nobody is to be told meanwhile that there is nobody.
    """

    def __init__(self, *, registry: Registry, clock: Clock, poll_s: float = 0.5, settle_s: float = 5.0) -> None:
        self.instances: tuple[Instance, ...] = ()
        self._registry = registry
        self._clock = clock
        self._poll_s = poll_s
        self._settle = timedelta(seconds=settle_s)
        self._settled_at: datetime | None = None
        self._looking: asyncio.Task[None] | None = None
        self._away = _Away()

    async def refresh(self) -> None:
        """Look now; everyone who asks meanwhile waits for the same look. Never fails: the old list stays."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            await self.refresh()
            await self._registry.wait_for_change(poll_s=self._poll_s)

    async def _look(self) -> None:
        try:
            seen = await self._registry.list_instances(now=self._clock.now())
        except Exception as error:  # better an old list than none
            self._away.failed(error)
            return
        if self._away.answered():
            self._settled_at = self._clock.now() + self._settle
        if self._settled_at is not None:
            seen = self._with_missing(seen, self._settled_at)
        if seen != self.instances:
            self.instances = seen

    def _with_missing(self, seen: tuple[Instance, ...], settled_at: datetime) -> tuple[Instance, ...]:
        if self._clock.now() >= settled_at:
            self._settled_at = None
            return seen
        there = {one.instance_id: one for one in self.instances if not one.draining}
        there |= {one.instance_id: one for one in seen}
        return tuple(there[instance_id] for instance_id in sorted(there))
