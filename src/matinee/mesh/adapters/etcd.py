"""A registry that the processes of many machines share, in etcd: an instance is a key under a lease.

Leases run by etcd's clock: `now` is not looked at. etcd counts whole seconds, knows no lease under two, and looks
for those that ran out twice a second. While it is away no lease runs out, and when it is back each has its whole
time again.
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

_BELOW: Final = "instances/"
# Also without a word of the watch one looks as often: a road may be lost without either end hearing of it.
_ANYWAY_S: Final = 1.5
# After a change others often follow at once (everyone renews when etcd is back): one look is for all of them.
_TOGETHER_S: Final = 0.05

_decoder = msgspec.json.Decoder(Instance)


class EtcdRegistry:
    """Fulfils `Registry`; every process opens the same namespace. `close` ends its watch."""

    uses_engine_clock: ClassVar[bool] = True
    registers_itself: ClassVar[bool] = True

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._leases: dict[InstanceId, int] = {}
        self._moved = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._watch_stands = False

    @classmethod
    async def open(cls, etcd: Etcd) -> Self:
        """The registry in an etcd that answers. Raises EngineUnavailable, WrongVersion."""
        await etcd.check()
        return cls(etcd)

    async def close(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None:
        lease = await self._etcd.grant(lease_s)
        before = await self._etcd.put(_key(instance.instance_id), msgspec.json.encode(instance), lease=lease)
        self._leases[instance.instance_id] = lease
        if before:
            await self._etcd.revoke(before)  # the key is under the new one already

    async def renew(self, *, instance_id: InstanceId, lease_s: float, now: datetime) -> bool:
        # Both at once, so that a slow etcd does not take twice its time. A lease may hold while its key was dropped.
        lease = self._leases.get(instance_id, 0)
        held, kept = await asyncio.gather(self._etcd.keep_alive(lease), self._etcd.get(_key(instance_id)))
        if kept is None or kept.lease == lease:
            return held and kept is not None
        self._leases[instance_id] = kept.lease  # another process entered it
        return await self._etcd.keep_alive(kept.lease)

    async def drain(self, *, instance_id: InstanceId) -> None:
        while (kept := await self._etcd.get(_key(instance_id))) is not None:
            instance = _decoder.decode(kept.value)
            marked = msgspec.json.encode(msgspec.structs.replace(instance, draining=True))
            if instance.draining or await self._etcd.replace(_key(instance_id), marked, revision=kept.revision):
                return

    async def deregister(self, *, instance_id: InstanceId) -> None:
        self._leases.pop(instance_id, None)
        if (kept := await self._etcd.get(_key(instance_id))) is not None:
            await self._etcd.delete(_key(instance_id))
            await self._etcd.revoke(kept.lease)

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        return tuple(_decoder.decode(kept.value) for kept in (await self._etcd.below(_BELOW)).values())

    async def wait_for_change(self, *, poll_s: float) -> None:
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="etcd-watch")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANYWAY_S if self._watch_stands else poll_s):
                await self._moved.wait()
                await asyncio.sleep(_TOGETHER_S)
        self._moved.clear()

    async def _watch(self) -> None:
        while True:
            try:
                async for _ in self._etcd.watch(_BELOW):
                    self._watch_stands = True
                    self._moved.set()
            except EngineUnavailable:  # who looks meanwhile says so in the log
                self._watch_stands = False
                await asyncio.sleep(_ANYWAY_S / 3)


def _key(instance_id: InstanceId) -> str:
    return _BELOW + instance_id
