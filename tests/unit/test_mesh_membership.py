"""Registering and following the registry, also through its outages."""

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


class FailingRegistry(MemoryRegistry):
    """A registry that can be made unavailable."""

    def __init__(self) -> None:
        super().__init__()
        self.is_unavailable = False
        self.reads = 0

    def lose_data(self) -> None:
        self._entries.clear()

    async def list_instances(self, *, now: datetime) -> tuple[Instance, ...]:
        self.reads += 1
        await asyncio.sleep(0)
        self._check()
        return await super().list_instances(now=now)

    async def drain(self, **arguments: Any) -> None:
        self._check()

    async def deregister(self, **arguments: Any) -> None:
        self._check()
        await super().deregister(**arguments)

    async def renew(self, **arguments: Any) -> bool:
        self._check()
        return await super().renew(**arguments)

    def _check(self) -> None:
        if self.is_unavailable:
            raise ConnectionError("the registry is unavailable")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_it_registers_renews_and_registers_again(clock: ManualClock) -> None:
    registry = FailingRegistry()
    membership = Membership(registry=registry, instance=ONE, clock=clock, renew_s=0.005, lease_s=5)
    running = asyncio.create_task(membership.run())

    async def is_listed() -> bool:
        return await registry.list_instances(now=clock.now()) == (ONE,)

    await eventually(is_listed)
    for _ in range(5):
        clock.advance(seconds=4)
        await eventually(is_listed)
    registry.is_unavailable = True
    clock.advance(seconds=60)
    await asyncio.sleep(0.05)
    registry.is_unavailable = False
    await eventually(is_listed)
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
        "it registers again as draining"
    )
    await membership.leave()
    await membership.renew()
    assert await registry.list_instances(now=clock.now()) == (), "it must not register again after it has left"


async def test_it_can_leave_while_the_registry_is_unavailable(clock: ManualClock) -> None:
    registry = FailingRegistry()
    membership = Membership(registry=registry, instance=ONE, clock=clock)
    await membership.join()
    registry.is_unavailable = True
    await membership.drain()
    await membership.leave()


async def test_the_last_list_is_kept_while_the_registry_is_unavailable(clock: ManualClock) -> None:
    registry = FailingRegistry()
    await registry.register(instance=ONE, lease_s=5, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    registry.is_unavailable = True
    clock.advance(seconds=60)
    await directory.refresh()
    assert directory.instances == (ONE,)
    registry.is_unavailable = False
    await directory.refresh()
    assert directory.instances == (ONE,), "the registry may have come back without its data"
    clock.advance(seconds=5)
    await directory.refresh()
    assert not directory.instances


async def test_instances_are_kept_when_the_registry_comes_back_empty(clock: ManualClock) -> None:
    registry = FailingRegistry()
    other = msgspec.structs.replace(ONE, instance_id=InstanceId("ins_0"))
    await registry.register(instance=ONE, lease_s=5, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    registry.is_unavailable = True
    await directory.refresh()
    registry.is_unavailable = False
    registry.lose_data()
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
    assert directory.instances == (other,), "after the settling time the list is applied at once"


async def test_missing_instances_are_not_kept_for_longer_after_the_clock_was_set_back(clock: ManualClock) -> None:
    registry = FailingRegistry()
    await registry.register(instance=ONE, lease_s=60, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    registry.is_unavailable = True
    await directory.refresh()
    registry.is_unavailable = False
    registry.lose_data()
    await directory.refresh()
    assert directory.instances == (ONE,)
    clock.advance(hours=-5)
    await directory.refresh()
    assert directory.instances == ()


async def test_concurrent_refreshes_share_one_read(clock: ManualClock) -> None:
    registry = FailingRegistry()
    directory = Directory(registry=registry, clock=clock)
    await asyncio.gather(*(directory.refresh() for _ in range(20)))
    assert registry.reads == 1


async def test_the_directory_follows_the_registry(clock: ManualClock) -> None:
    registry = FailingRegistry()
    directory = Directory(registry=registry, clock=clock, poll_s=0.005)
    running = asyncio.create_task(directory.run())
    await registry.register(instance=ONE, lease_s=5, now=clock.now())

    async def is_listed() -> bool:
        return directory.instances == (ONE,)

    await eventually(is_listed)
    running.cancel()
