"""A registry in etcd, for processes on many machines: an instance is a key under a lease.

Leases run by etcd's clock. They last whole seconds, two at least, and etcd looks for expired ones twice a second. No
lease expires while etcd is unavailable, and each restarts with its full time when etcd is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import ClassVar, Final, Self

import msgspec

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.etcd import Etcd
from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance

_PREFIX: Final = "instances/"
# The registry is read this often even without an event: a lost connection may go unnoticed at both ends.
_POLL_S: Final = 1.5
# Changes come in groups, as when every instance renews after an outage: one read covers those within this time.
_DEBOUNCE_S: Final = 0.05

_decoder = msgspec.json.Decoder(Instance)


class EtcdRegistry:
    """A `Registry` in the namespace of an etcd. `close` ends its watch."""

    uses_engine_clock: ClassVar[bool] = True
    registers_itself: ClassVar[bool] = True

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._leases: dict[InstanceId, int] = {}
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._watch_open = False

    @classmethod
    async def open(cls, etcd: Etcd) -> Self:
        """Check etcd and return its registry. Raises EngineUnavailable, WrongVersion."""
        await etcd.check()
        return cls(etcd)

    async def close(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        lease = await self._etcd.grant_lease(lease_s)
        previous = await self._etcd.put(_key(instance.instance_id), msgspec.json.encode(instance), lease=lease)
        self._leases[instance.instance_id] = lease
        if previous:
            await self._etcd.revoke_lease(previous)  # the key belongs to the new lease and stays

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        # The key is read as well, because it may have been deleted while its lease was valid. Both requests are sent at
        # once, so that a slow etcd delays the renewal once.
        lease = self._leases.get(instance_id, 0)
        renewed, stored = await asyncio.gather(self._etcd.renew_lease(lease), self._etcd.get(_key(instance_id)))
        if stored is None or stored.lease == lease:
            return renewed and stored is not None
        self._leases[instance_id] = stored.lease  # another process has registered it
        return await self._etcd.renew_lease(stored.lease)

    async def drain(self, *, instance_id: InstanceId) -> None:
        while (stored := await self._etcd.get(_key(instance_id))) is not None:
            instance = _decoder.decode(stored.value)
            draining = msgspec.json.encode(msgspec.structs.replace(instance, draining=True))
            if instance.draining or await self._etcd.put_if_unchanged(
                _key(instance_id), draining, revision=stored.revision
            ):
                return

    async def deregister(self, *, instance_id: InstanceId) -> None:
        self._leases.pop(instance_id, None)
        if (stored := await self._etcd.get(_key(instance_id))) is not None:
            await self._etcd.delete(_key(instance_id))
            await self._etcd.revoke_lease(stored.lease)

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        return tuple(_decoder.decode(stored.value) for stored in (await self._etcd.get_prefix(_PREFIX)).values())

    async def wait_for_change(self, *, poll_s: float) -> None:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="etcd-watch")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S if self._watch_open else poll_s):
                await self._changed.wait()
                await asyncio.sleep(_DEBOUNCE_S)
        self._changed.clear()

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in self._etcd.watch(_PREFIX):
                    self._watch_open = True
                    self._changed.set()
            except EngineUnavailable:  # callers that read the registry meanwhile get and log the error
                self._watch_open = False
                await asyncio.sleep(_POLL_S / 3)


def _key(instance_id: InstanceId) -> str:
    return _PREFIX + instance_id
