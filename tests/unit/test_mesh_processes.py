"""Real processes in a registry: calls succeed while one is killed and another leaves."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from tests.engines import shared_engine
from tests.stores import SQL, database_url
from tests.unit.mesh_rig import KEY, Theatre

from matinee.drivers.etcd import Etcd
from matinee.drivers.http import HttpClient
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.mesh.adapters.etcd import EtcdRegistry
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.client import MeshClient, bind_remote
from matinee.mesh.membership import Directory
from matinee.mesh.ports import Registry

ROOT = Path(__file__).parents[2]
SERVE = """
import asyncio, sys
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.host import Host
from matinee.mesh.service import Services
from matinee.mesh.membership import Membership
from tests.unit.mesh_rig import KEY, Playhouse, Theatre
from tests.unit.test_mesh_processes import open_registry

async def main(url, name):
    clock = SystemClock()
    metrics = Metrics()
    services = [Services(metrics).add("theatre", Theatre, Playhouse(name))]
    host = Host(key=KEY, clock=clock, metrics=metrics, services=services)
    async with open_registry(url) as registry, Server(host) as server:
        instance_id = ids.generate(InstanceId, clock.now())
        instance = Instance(instance_id=instance_id, address=server.address, services=("theatre",))
        membership = Membership(registry=registry, instance=instance, clock=clock, renew_s=0.2, lease_s=1.0)
        await membership.join()
        renewing = asyncio.create_task(membership.run())
        print("up", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        renewing.cancel()
        await membership.drain()
        host.drain()
        await host.wait_until_idle(5)
        await membership.leave()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def open_registry(url: str) -> AsyncIterator[Registry]:
    """Open the registry of a URL."""
    if url.startswith("etcd:"):
        async with Etcd(url) as etcd:
            registry = await EtcdRegistry.open(etcd)
            yield registry
            await registry.close()
    else:
        async with Database(url) as database:
            yield await SqlRegistry.open(database)


async def serve(url: str, name: str) -> Process:
    """Start one instance and wait until it is registered."""
    command = [sys.executable, "-c", SERVE, url, name]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    while (line := await process.stdout.readline()) != b"up\n":
        assert line, "the process ended"
    return process


@asynccontextmanager
async def follow(url: str) -> AsyncIterator[tuple[Directory, MeshClient]]:
    """Follow the registry with a client in this process."""
    clock = SystemClock()
    async with open_registry(url) as registry, HttpClient() as http:
        directory = Directory(registry=registry, clock=clock, poll_s=0.1)
        running = asyncio.create_task(directory.run())
        yield directory, MeshClient(http=http, directory=directory, key=KEY, rng=Random(1))
        running.cancel()


async def wait_for_instances(directory: Directory, count: int) -> None:
    for _ in range(1_000):
        if len(directory.instances) == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{len(directory.instances)} instances are listed, not {count}")


@pytest.fixture(params=[*SQL, "etcd"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        shared_engine("etcd").url("registry")
        if request.param == "etcd"
        else database_url(request.param, tmp_path, "registry")
    )


async def test_no_call_fails_while_an_instance_is_killed_and_another_leaves(url: str) -> None:
    killed, leaving, staying = await asyncio.gather(*(serve(url, name) for name in ("killed", "leaving", "staying")))
    async with follow(url) as (directory, caller):
        await wait_for_instances(directory, 3)
        theatre = bind_remote(Theatre, "theatre", caller)
        assert {(await theatre.describe()).name for _ in range(60)} == {"killed", "leaving", "staying"}
        killed.kill()
        names = {(await theatre.describe()).name for _ in range(60)}
        assert names == {"leaving", "staying"}
        await wait_for_instances(directory, 2)
        assert leaving.stdin is not None
        leaving.stdin.write(b"\n")
        while leaving.returncode is None:
            assert await theatre.book(row=1) == 1
            await asyncio.sleep(0.01)
        await wait_for_instances(directory, 1)
        assert (await theatre.describe()).name == "staying"
    staying.kill()
    for process in (killed, leaving, staying):
        await process.communicate()
