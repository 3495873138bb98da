"""One suite for every registry. `open_again` opens the same data as another process would."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.kubernetes_rig import Api, ControlledRegistry, Controller
from tests.deployment import eventually
from tests.engines import shared_engine
from tests.stores import SQL, database_url, store_opener

from matinee.drivers.engine import StoreFull
from matinee.drivers.etcd import Etcd
from matinee.drivers.kubernetes import Kubernetes
from matinee.drivers.sql import Database
from matinee.kit.clock import ManualClock
from matinee.kit.ids import InstanceId
from matinee.mesh.adapters.etcd import EtcdRegistry
from matinee.mesh.adapters.files import FileRegistry
from matinee.mesh.adapters.kubernetes import SLICES, KubernetesRegistry
from matinee.mesh.adapters.memory import MemoryRegistry
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory
from matinee.mesh.ports import Registry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_S = 3.0
Open = Callable[[], Awaitable[Registry]]
Empty = Callable[[], AbstractAsyncContextManager[Open]]


def instance(name: str, *services: str, draining: bool = False) -> Instance:
    host = f"10.0.{ord(name[0])}.{ord(name[-1])}"
    return Instance(
        instance_id=InstanceId(f"ins_{name}"),
        address=f"http://{host}:8000",
        app_address=f"http://{host}:8001" if name == "a" else "",
        services=services or ("identity",),
        draining=draining,
    )


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@contextlib.asynccontextmanager
async def open_memory(tmp_path: Path) -> AsyncIterator[Open]:
    kept = MemoryRegistry()

    async def reopen() -> Registry:
        return kept

    yield reopen


@contextlib.asynccontextmanager
async def open_files(tmp_path: Path) -> AsyncIterator[Open]:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))

    async def reopen() -> Registry:
        return FileRegistry.open(folder)

    yield reopen


def open_sql(engine_name: str, tmp_path: Path) -> AbstractAsyncContextManager[Open]:
    return store_opener(SqlRegistry, database_url(engine_name, tmp_path, "registry"))


@contextlib.asynccontextmanager
async def open_etcd(tmp_path: Path) -> AsyncIterator[Open]:
    url = shared_engine("etcd").url("registry")
    async with AsyncExitStack() as stack:

        async def reopen() -> Registry:
            registry = await EtcdRegistry.open(await stack.enter_async_context(Etcd(url)))
            stack.push_async_callback(registry.close)
            return registry

        yield reopen


@contextlib.asynccontextmanager
async def open_kubernetes(tmp_path: Path) -> AsyncIterator[Open]:
    url = shared_engine("kubernetes").url("registry")
    async with AsyncExitStack() as stack:

        async def reopen() -> Registry:
            registry = await ControlledRegistry.open(await stack.enter_async_context(Kubernetes(url, SLICES)))
            stack.push_async_callback(registry.close)
            registry.controller = Controller(await stack.enter_async_context(Api(url)))
            return registry

        yield reopen


# For each engine a context of an empty registry, whose function opens it again.
ENGINES: dict[str, tuple[type[Registry], Callable[[Path], AbstractAsyncContextManager[Open]]]] = {
    "memory": (MemoryRegistry, open_memory),
    "files": (FileRegistry, open_files),
    **{name: (SqlRegistry, partial(open_sql, name)) for name in SQL},
    "etcd": (EtcdRegistry, open_etcd),
    "kubernetes": (KubernetesRegistry, open_kubernetes),
}
LEASING = [name for name, (kind, _) in ENGINES.items() if kind.registers_itself]


@pytest.fixture(params=ENGINES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Empty:
    return partial(ENGINES[request.param][1], tmp_path)


@pytest.fixture
async def open_again(empty: Empty) -> AsyncIterator[Open]:
    async with empty() as reopen:
        yield reopen


@pytest.fixture(params=LEASING)
async def open_leasing(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Only the registries in which instances renew leases."""
    async with ENGINES[request.param][1](tmp_path) as reopen:
        yield reopen


class RegistrationControl(Protocol):
    """Registers instances: the registry or a cluster."""

    async def register(self, *, instance: Instance, lease_s: float, now: datetime) -> None: ...
    async def drain(self, *, instance_id: InstanceId) -> None: ...
    async def deregister(self, *, instance_id: InstanceId) -> None: ...


def controller_of(registry: Registry) -> RegistrationControl:
    """Return the registry itself, or the cluster that registers instances."""
    return registry if registry.registers_itself else registry.controller


async def register(registry: Registry, *instances: Instance, at: float = 0) -> None:
    for one in instances:
        await controller_of(registry).register(instance=one, lease_s=LEASE_S, now=later(at))


async def test_an_instance_registered_by_one_process_is_listed_by_another(open_again: Open) -> None:
    await register(await open_again(), instance("b", "events", "identity"), instance("a"))
    assert await (await open_again()).list_instances(now=NOW) == (instance("a"), instance("b", "events", "identity"))


async def test_registering_again_replaces_the_instance(open_again: Open) -> None:
    registry = await open_again()
    await register(registry, instance("a"), instance("a", "events"))
    assert await registry.list_instances(now=NOW) == (instance("a", "events"),)


class Time:
    """The time of a registry: the `now` passed in, or real time where the engine has its own clock."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.now = NOW

    async def pass_almost(self, seconds: float) -> None:
        """Let slightly less than some seconds pass."""
        self.now += timedelta(seconds=seconds - 0.001)
        if self._registry.uses_engine_clock:
            await asyncio.sleep(seconds * 0.7)

    async def expire_leases(self) -> None:
        """Wait until all leases have expired."""
        self.now += timedelta(seconds=LEASE_S)
        if self._registry.uses_engine_clock:
            await eventually(lambda: self._is_empty())

    async def _is_empty(self) -> bool:
        return not await self._registry.list_instances(now=self.now)


async def test_a_lease_expires(open_leasing: Open) -> None:
    registry = await open_leasing()
    time = Time(registry)
    await register(registry, instance("a"))
    await time.pass_almost(LEASE_S)
    assert await registry.list_instances(now=time.now) == (instance("a"),)
    await time.expire_leases()
    assert await registry.list_instances(now=time.now) == ()


async def test_a_lease_is_renewed(open_leasing: Open) -> None:
    registry = await open_leasing()
    time = Time(registry)
    await register(registry, instance("a"))
    for _ in range(2):
        await time.pass_almost(LEASE_S)
        assert await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=time.now)
    assert await (await open_leasing()).list_instances(now=time.now) == (instance("a"),)
    await time.expire_leases()
    assert await registry.list_instances(now=time.now) == ()


async def test_an_instance_of_a_clock_that_was_ahead_is_listed_only_while_it_renews(open_leasing: Open) -> None:
    registry = await open_leasing()
    if registry.uses_engine_clock:
        return
    await register(registry, instance("a"), instance("b"), at=5 * 3600)
    listed = []
    for second in (0, 2, 4, 6, 8):
        await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(5 * 3600 + second))
        listed.append(await registry.list_instances(now=later(second)))
    assert listed == [(instance("a"), instance("b"))] * 3 + [(instance("a"),)] * 2
    await registry.renew(instance_id=InstanceId("ins_b"), lease_s=LEASE_S, now=later(9))
    assert await registry.list_instances(now=later(9)) == (instance("a"), instance("b"))


async def test_an_expired_lease_is_not_renewed(open_leasing: Open) -> None:
    registry = await open_leasing()
    time = Time(registry)
    await register(registry, instance("a"))
    await time.expire_leases()
    assert not await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=time.now)
    assert not await registry.renew(instance_id=InstanceId("ins_never"), lease_s=LEASE_S, now=time.now)
    assert await registry.list_instances(now=time.now) == ()
    await registry.register(instance=instance("a"), lease_s=LEASE_S, now=time.now)
    assert await registry.list_instances(now=time.now) == (instance("a"),)


async def test_a_directory_that_follows_changes_converges(open_again: Open) -> None:
    registries = await asyncio.gather(*(open_again() for _ in range(3)))
    clock = ManualClock(NOW)
    directory = Directory(registry=await open_again(), clock=clock, poll_s=0.02)
    following = asyncio.create_task(directory.run())

    async def register_and_leave(number: int) -> None:
        registry = registries[number % 3]
        await register(registry, instance(f"{number:02}"))
        if number % 4:
            await controller_of(registry).deregister(instance_id=InstanceId(f"ins_{number:02}"))

    await asyncio.gather(*(register_and_leave(number) for number in range(32)))
    await eventually(lambda: directory.instances == tuple(instance(f"{number:02}") for number in range(0, 32, 4)))
    following.cancel()


async def test_draining_survives_renewal(open_leasing: Open) -> None:
    registry = await open_leasing()
    await register(registry, instance("a"), instance("b"))
    await registry.drain(instance_id=InstanceId("ins_a"))
    await registry.drain(instance_id=InstanceId("ins_a"))
    await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(1))
    assert await (await open_leasing()).list_instances(now=later(1)) == (instance("a", draining=True), instance("b"))


async def test_registering_again_replaces_the_draining_mark(open_again: Open) -> None:
    registry = await open_again()
    await register(registry, instance("a", draining=True))
    assert await registry.list_instances(now=NOW) == (instance("a", draining=True),)
    await register(registry, instance("a"))
    assert await registry.list_instances(now=NOW) == (instance("a"),)


async def test_a_draining_instance_stays_listed(open_again: Open) -> None:
    registry = await open_again()
    await register(registry, instance("a", "events", "identity"), instance("b"))
    await controller_of(registry).drain(instance_id=InstanceId("ins_a"))
    await controller_of(registry).drain(instance_id=InstanceId("ins_a"))
    known = (instance("a", "events", "identity", draining=True), instance("b"))
    assert await (await open_again()).list_instances(now=NOW) == known


async def test_a_deregistered_instance_is_not_listed(open_again: Open) -> None:
    registry = await open_again()
    await register(registry, instance("a"), instance("b"))
    await controller_of(registry).deregister(instance_id=InstanceId("ins_a"))
    await controller_of(registry).deregister(instance_id=InstanceId("ins_a"))
    await controller_of(registry).drain(instance_id=InstanceId("ins_a"))
    assert await (await open_again()).list_instances(now=NOW) == (instance("b"),)


async def test_concurrent_registrations_are_all_kept(open_again: Open) -> None:
    registries = await asyncio.gather(*(open_again() for _ in range(4)))
    names = [f"{n:02}" for n in range(24)]
    await asyncio.gather(*(register(registries[n % 4], instance(name)) for n, name in enumerate(names)))
    listed = await registries[0].list_instances(now=NOW)
    assert [one.instance_id for one in listed] == [f"ins_{name}" for name in names]


async def test_concurrent_renewals_keep_the_draining_mark(open_leasing: Open) -> None:
    one, other = await open_leasing(), await open_leasing()
    await register(one, instance("a"))
    renewals = (one.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(n / 10)) for n in range(20))
    await asyncio.gather(*renewals, other.drain(instance_id=InstanceId("ins_a")))
    assert await one.list_instances(now=later(1)) == (instance("a", draining=True),)


Step = tuple[str, str, float]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["register", "renew", "drain", "leave", "list"]),
        st.sampled_from("abc"),
        st.floats(0, 4).map(lambda s: round(s, 3)),
    ),
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
async def test_a_registry_behaves_like_a_dict(script: list[Step], empty: Empty) -> None:
    async with empty() as reopen:
        await compare(await reopen(), script)


async def compare(registry: Registry, script: list[Step]) -> None:
    known: dict[str, tuple[Instance, datetime]] = {}
    now = NOW
    for verb, name, passed_s in script:
        if verb == "renew" and not registry.registers_itself:
            continue
        now += timedelta(seconds=0 if registry.uses_engine_clock else passed_s)
        known = {n: entry for n, entry in known.items() if entry[1] > now}
        assert await step(registry, verb, name, now) == predict(known, verb, name, now)
    assert await registry.list_instances(now=now) == tuple(known[n][0] for n in sorted(known))


async def step(registry: Registry, verb: str, name: str, now: datetime) -> Any:
    one = InstanceId(f"ins_{name}")
    match verb:
        case "register":
            return await controller_of(registry).register(instance=instance(name), lease_s=LEASE_S, now=now)
        case "renew":
            return await registry.renew(instance_id=one, lease_s=LEASE_S, now=now)
        case "drain":
            return await controller_of(registry).drain(instance_id=one)
        case "leave":
            return await controller_of(registry).deregister(instance_id=one)
    return await registry.list_instances(now=now)


def predict(known: dict[str, tuple[Instance, datetime]], verb: str, name: str, now: datetime) -> Any:
    until = now + timedelta(seconds=LEASE_S)
    match verb:
        case "register":
            known[name] = (instance(name), until)
        case "renew":
            if name in known:
                known[name] = (known[name][0], until)
            return name in known
        case "drain" if name in known:
            known[name] = (msgspec.structs.replace(known[name][0], draining=True), known[name][1])
        case "leave":
            known.pop(name, None)
        case "list":
            return tuple(known[n][0] for n in sorted(known))
    return None


class FullDisk(Database):
    """A database whose disk can be made full."""

    full = False

    async def write(self, transaction: Callable[[Any], Any]) -> Any:
        if self.full:
            raise StoreFull
        return await super().write(transaction)


async def test_no_instance_is_dropped_while_the_disk_is_full(tmp_path: Path) -> None:
    async with FullDisk(f"sqlite:///{tmp_path}/registry.db") as database:
        registry = await SqlRegistry.open(database)
        await register(registry, instance("a"))
        database.full = True
        assert await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(1))
        assert await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(60))
        assert await registry.list_instances(now=later(60)) == (instance("a"),)
        database.full = False
        assert await registry.renew(instance_id=InstanceId("ins_a"), lease_s=LEASE_S, now=later(61))
        assert await registry.list_instances(now=later(63)) == (instance("a"),)
        assert await registry.list_instances(now=later(67)) == ()
