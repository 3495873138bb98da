"""Real processes that find each other by a registry in a file: one is killed, one leaves, the caller goes on."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.unit.mesh_rig import KEY, Theatre

from matinee.drivers.http import HttpClient
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.client import Caller, remote
from matinee.mesh.membership import Directory

ROOT = Path(__file__).parents[2]
SERVE = """
import asyncio, sys
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.api import Instance
from matinee.mesh.host import Host
from matinee.mesh.membership import Membership
from tests.unit.mesh_rig import KEY, House, Theatre

async def main(url, name):
    clock = SystemClock()
    host = Host(key=KEY, clock=clock, metrics=Metrics())
    host.serve("theatre", Theatre, House(name))
    async with Database(url) as database, Server(host) as server:
        registry = await SqlRegistry.open(database)
        instance_id = ids.new(InstanceId, clock.now())
        instance = Instance(instance_id=instance_id, address=server.address, services=host.services)
        membership = Membership(registry=registry, instance=instance, clock=clock, renew_s=0.2, lease_s=1.0)
        await membership.join()
        renewing = asyncio.create_task(membership.run())
        print("up", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        renewing.cancel()
        await membership.drain()
        host.drain()
        await host.drained(5)
        await membership.leave()

asyncio.run(main(*sys.argv[1:]))
"""


async def serve(url: str, name: str) -> Process:
    """Start one instance, and wait until it is in the registry."""
    words = [sys.executable, "-c", SERVE, url, name]
    process = await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    return process


@asynccontextmanager
async def following(url: str) -> AsyncIterator[tuple[Directory, Caller]]:
    """A caller in this process, who follows the registry."""
    clock = SystemClock()
    async with Database(url) as database, HttpClient() as http:
        directory = Directory(registry=await SqlRegistry.open(database), clock=clock, poll_s=0.1)
        running = asyncio.create_task(directory.run())
        yield directory, Caller(http=http, directory=directory, key=KEY, dice=Random(1))
        running.cancel()


async def listed(directory: Directory, count: int) -> None:
    for _ in range(1_000):
        if len(directory.instances) == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{len(directory.instances)} are listed, not {count}")


async def test_one_is_killed_one_leaves_and_no_call_fails(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    killed, leaving, staying = await asyncio.gather(*(serve(url, name) for name in ("killed", "leaving", "staying")))
    async with following(url) as (directory, caller):
        await listed(directory, 3)
        theatre = remote(Theatre, "theatre", caller)
        assert {(await theatre.look()).name for _ in range(60)} == {"killed", "leaving", "staying"}
        killed.kill()
        names = {(await theatre.look()).name for _ in range(60)}
        assert names == {"leaving", "staying"}
        await listed(directory, 2)
        assert leaving.stdin is not None
        leaving.stdin.write(b"\n")
        while leaving.returncode is None:
            assert await theatre.book(row=1) == 1
            await asyncio.sleep(0.01)
        await listed(directory, 1)
        assert (await theatre.look()).name == "staying"
    staying.kill()
    for process in (killed, leaving, staying):
        await process.communicate()
