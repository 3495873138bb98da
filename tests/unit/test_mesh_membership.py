"""Being in the registry, and following it, also while it is away."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest
from tests.deployment import eventually

from matinee.kit.clock import ManualClock
from matinee.kit.ids import InstanceId
from matinee.mesh.adapters.memory import MemoryRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory, Membership

ONE = Instance(instance_id=InstanceId("ins_1"), address="http://127.0.0.1:1", services=("identity",))


class Away(MemoryRegistry):
    """A registry that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.looks = 0

    def lose(self) -> None:
        self._entries.clear()

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        self.looks += 1
        await asyncio.sleep(0)
        self._check()
        return await super().list_instances(now=now)

    async def drain(self, **what: Any) -> None:
        self._check()

    async def deregister(self, **what: Any) -> None:
        self._check()
        await super().deregister(**what)

    async def renew(self, **what: Any) -> bool:
        self._check()
        return await super().renew(**what)

    def _check(self) -> None:
        if self.away:
            raise ConnectionError("the registry is away")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_it_enters_renews_and_enters_again(clock: ManualClock) -> None:
    registry = Away()
    membership = Membership(registry=registry, instance=ONE, clock=clock, renew_s=0.005, lease_s=5)
    running = asyncio.create_task(membership.run())

    async def listed() -> bool:
        return await registry.list_instances(now=clock.now()) == (ONE,)

    await eventually(listed)
    for _ in range(5):
        clock.advance(seconds=4)
        await eventually(listed)
    registry.away = True
    clock.advance(seconds=60)
    await asyncio.sleep(0.05)
    registry.away = False
    await eventually(listed)
    running.cancel()


async def test_it_drains_and_leaves(clock: ManualClock) -> None:
    registry = MemoryRegistry()
    membership = Membership(registry=registry, instance=ONE, clock=clock)
    await membership.join()
    await membership.drain()
    assert [one.draining for one in await registry.list_instances(now=clock.now())] == [True]
    clock.advance(seconds=60)
    await membership.renew()
    assert [one.draining for one in await registry.list_instances(now=clock.now())] == [True], (
        "it enters again as draining"
    )
    await membership.leave()
    await membership.renew()
    assert await registry.list_instances(now=clock.now()) == (), "who has left does not come back"


async def test_it_can_end_while_the_registry_is_away(clock: ManualClock) -> None:
    registry = Away()
    membership = Membership(registry=registry, instance=ONE, clock=clock)
    await membership.join()
    registry.away = True
    await membership.drain()
    await membership.leave()


async def test_the_last_known_list_stays_while_the_registry_is_away(clock: ManualClock) -> None:
    registry = Away()
    await registry.register(instance=ONE, lease_s=5, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    registry.away = True
    clock.advance(seconds=60)
    await directory.refresh()
    assert directory.instances == (ONE,)
    registry.away = False
    await directory.refresh()
    assert directory.instances == (ONE,), "it may have come back without its data"
    clock.advance(seconds=5)
    await directory.refresh()
    assert not directory.instances


async def test_a_registry_that_comes_back_empty_hides_nobody(clock: ManualClock) -> None:
    registry = Away()
    other = msgspec.structs.replace(ONE, instance_id=InstanceId("ins_0"))
    await registry.register(instance=ONE, lease_s=5, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    registry.away = True
    await directory.refresh()
    registry.away = False
    registry.lose()
    await directory.refresh()
    assert directory.instances == (ONE,)
    await registry.register(instance=other, lease_s=60, now=clock.now())
    await directory.refresh()
    assert directory.instances == (other, ONE)
    await registry.register(instance=ONE, lease_s=60, now=clock.now())
    clock.advance(seconds=6)
    await directory.refresh()
    assert directory.instances == (other, ONE)
    await registry.deregister(instance_id=ONE.instance_id)
    await directory.refresh()
    assert directory.instances == (other,), "once it has settled its word is taken at once"


async def test_all_who_ask_at_once_share_one_look(clock: ManualClock) -> None:
    registry = Away()
    directory = Directory(registry=registry, clock=clock)
    await asyncio.gather(*(directory.refresh() for _ in range(20)))
    assert registry.looks == 1


async def test_following(clock: ManualClock) -> None:
    registry = Away()
    directory = Directory(registry=registry, clock=clock, poll_s=0.005)
    running = asyncio.create_task(directory.run())
    await registry.register(instance=ONE, lease_s=5, now=clock.now())

    async def seen() -> bool:
        return directory.instances == (ONE,)

    await eventually(seen)
    running.cancel()
