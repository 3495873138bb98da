"""The registry in etcd: killed, hung, emptied, compacted, full, with sign-in, and with a failed member of three."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.deployment import eventually
from tests.engines import private_engine, slow_proxy

from matinee.drivers.engine import EngineUnavailable, StoreFull, WrongVersion
from matinee.drivers.etcd import Etcd
from matinee.drivers.http import HttpClient
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.lab.engines import EngineProcess
from matinee.mesh.adapters.etcd import EtcdRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory, Membership

LEASE_S = 3.0
CLOCK = SystemClock()


def instance(number: int) -> Instance:
    return Instance(
        instance_id=InstanceId(f"ins_{number:03}"), address=f"http://127.0.0.1:{number}", services=("identity",)
    )


class Processes:
    """Registered processes, each with its own connection to the registry, and one that follows it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = AsyncExitStack()
        self.memberships: dict[int, tuple[Membership, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> Processes:
        self.directory = Directory(registry=await self.open_registry(), clock=CLOCK)
        self.create_task(self.directory.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def open_registry(self) -> EtcdRegistry:
        registry = await EtcdRegistry.open(await self.stack.enter_async_context(Etcd(self.url)))
        self.stack.push_async_callback(registry.close)
        return registry

    def create_task(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.stack.callback(task.cancel)
        return task

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            membership = Membership(
                registry=await self.open_registry(),
                instance=instance(number),
                clock=CLOCK,
                renew_s=0.5,
                lease_s=LEASE_S,
            )
            self.memberships[number] = membership, self.create_task(membership.run())

    async def stop(self, number: int) -> None:
        membership, renewing = self.memberships.pop(number)
        renewing.cancel()
        await membership.leave()

    def kill(self, number: int) -> None:
        self.memberships.pop(number)[1].cancel()

    async def wait_until_followed(self) -> None:
        """Wait until the follower has exactly the registered processes."""
        await eventually(lambda: self.directory.instances == tuple(map(instance, sorted(self.memberships))))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineProcess]:
    with private_engine("etcd", tmp_path) as running:
        yield running


@pytest.fixture
async def processes(server: EngineProcess) -> AsyncIterator[Processes]:
    async with Processes(server.url("registry")) as started:
        yield started


async def test_only_killed_process_is_removed_when_its_lease_expires(processes: Processes) -> None:
    await processes.start(1, 2, 3)
    await processes.wait_until_followed()
    processes.kill(2)
    await processes.wait_until_followed()


async def test_concurrent_starts_and_stops_are_followed(processes: Processes) -> None:
    await asyncio.gather(*(processes.start(number) for number in range(40)))
    await asyncio.gather(*(processes.stop(number) for number in range(0, 40, 2)))
    await asyncio.gather(*(processes.start(number) for number in range(40, 50)))
    await processes.wait_until_followed()


async def test_restarted_etcd_loses_no_instance(processes: Processes, server: EngineProcess) -> None:
    await processes.start(1, 2)
    await processes.wait_until_followed()
    server.kill()
    known = processes.directory.instances
    await asyncio.sleep(LEASE_S + 1)  # longer than a lease
    await processes.directory.refresh()
    assert processes.directory.instances == known, "the last list stays in use"
    server.start()
    await processes.wait_until_followed()
    await processes.start(3)
    await processes.stop(1)
    await processes.wait_until_followed()


async def test_hung_etcd_removes_no_instance(processes: Processes, server: EngineProcess) -> None:
    await processes.start(1, 2)
    await processes.wait_until_followed()
    server.pause()
    await asyncio.sleep(LEASE_S + 1)
    assert len(processes.directory.instances) == 2
    server.resume()
    await processes.start(3)
    await processes.wait_until_followed()


async def test_instances_register_again_after_etcd_lost_its_data(processes: Processes, server: EngineProcess) -> None:
    await processes.start(*range(8))
    await processes.wait_until_followed()
    server.kill()
    shutil.rmtree(server.location.data)
    server.start()
    await eventually(lambda: processes.directory.instances != ())
    await processes.wait_until_followed()
    await processes.start(9)
    await processes.wait_until_followed()


async def test_compacted_changes_during_a_broken_watch_are_followed(processes: Processes) -> None:
    async with slow_proxy(processes.url) as proxy, Processes(proxy.url) as remote:
        await processes.start(1)
        remote.memberships = processes.memberships
        await remote.wait_until_followed()
        proxy.disconnect()
        for number in range(2, 12):
            await processes.start(number)
        for number in range(1, 8):
            await processes.stop(number)
        await processes.wait_until_followed()
        await compact(processes.url)
        proxy.restore()
        await remote.wait_until_followed()
        await processes.start(12)
        await remote.wait_until_followed()


async def test_deleted_key_is_registered_again(processes: Processes) -> None:
    await processes.start(1)
    await processes.wait_until_followed()
    async with Etcd(processes.url) as etcd:
        await etcd.delete("instances/ins_001")
    await eventually(lambda: not processes.directory.instances)
    await processes.wait_until_followed()


async def test_slow_responses_remove_no_instance(server: EngineProcess) -> None:
    async with slow_proxy(server.url("registry")) as proxy, Processes(proxy.url) as processes:
        await processes.start(1, 2)
        await processes.wait_until_followed()
        # The delay is for each piece of a response. A response may have two, and a renewal may take two calls.
        proxy.delay_s = LEASE_S / 6
        await asyncio.sleep(LEASE_S * 2)
        assert len(processes.directory.instances) == 2


async def test_unavailable_member_is_skipped(server: EngineProcess) -> None:
    unused = free_port()
    url = server.url("registry").replace("etcd://", f"etcd://127.0.0.1:{unused},")
    async with Processes(url) as processes:
        await processes.start(1)
        await processes.wait_until_followed()


async def test_hung_etcd_is_reported_in_time(server: EngineProcess) -> None:
    async with Etcd(server.url("registry")) as etcd:
        server.pause()
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await etcd.get_prefix("")
        server.resume()
        await eventually(lambda: is_available(etcd))


async def is_available(etcd: Etcd) -> bool:
    with contextlib.suppress(EngineUnavailable):
        await etcd.check()
        return True
    return False


async def test_other_server_is_refused(tmp_path: Path) -> None:
    """Versions before 3.4 have another path: any HTTP server without `/v3` stands for them."""
    with private_engine("s3", tmp_path) as other:
        async with Etcd(f"etcd://127.0.0.1:{other.location.port}/registry") as etcd:
            with pytest.raises((WrongVersion, EngineUnavailable)):
                await EtcdRegistry.open(etcd)


async def test_full_etcd_keeps_instances_and_refuses_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_QUOTA_BACKEND_BYTES", str(1 << 20))
    with private_engine("etcd", tmp_path) as server:
        async with Processes(server.url("registry")) as processes, Etcd(server.url("filler")) as filler:
            await processes.start(1)
            await processes.wait_until_followed()
            lease = await filler.grant_lease(3600)
            with pytest.raises(StoreFull):
                await fill(filler, lease)
            with pytest.raises(StoreFull):
                await filler.check()
            await asyncio.sleep(LEASE_S + 1)
            assert processes.directory.instances == (instance(1),), "registered instances renew their leases"
            with pytest.raises(StoreFull):
                await (await processes.open_registry()).register(instance=instance(2), lease_s=LEASE_S, now=CLOCK.now())


async def fill(etcd: Etcd, lease: int) -> None:
    for number in range(100):
        await etcd.put(f"{number}", b"x" * 100_000, lease=lease)


async def test_sign_in_is_required(server: EngineProcess) -> None:
    url = server.url("registry")
    below = {"key": base64.b64encode(b"registry/").decode(), "range_end": base64.b64encode(b"registry0").decode()}
    for path, body in (
        ("auth/user/add", {"name": "root", "password": "root"}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/user/add", {"name": "matinee", "password": "first, second"}),
        ("auth/role/add", {"name": "matinee"}),
        ("auth/role/grant", {"name": "matinee", "perm": {"permType": "READWRITE", **below}}),
        ("auth/user/grant", {"user": "matinee", "role": "matinee"}),
        ("auth/enable", {}),
    ):
        await call(url, path, body)
    signed_in = url.replace("etcd://", "etcd://matinee:first%2C%20second@")
    async with Processes(signed_in) as processes, Etcd(signed_in.replace("/registry", "/elsewhere")) as elsewhere:
        await processes.start(1)
        await processes.wait_until_followed()
        await processes.stop(1)
        await processes.wait_until_followed()
        with pytest.raises(EngineUnavailable, match="refused"):
            await elsewhere.get_prefix("")
    for unauthorized in ("etcd://", "etcd://root:wrong@"):
        async with Etcd(url.replace("etcd://", unauthorized)) as etcd:
            with pytest.raises(EngineUnavailable, match="refused"):
                await etcd.get_prefix("")


async def test_any_member_of_three_may_fail(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        async with Etcd(cluster.url) as etcd:
            await eventually(lambda: is_available(etcd))
        async with Processes(cluster.url) as processes, Etcd(cluster.url) as etcd:
            await processes.start(1, 2)
            await processes.wait_until_followed()
            for number in range(3):
                cluster.kill(number)
                processes.kill(2)
                await processes.wait_until_followed()
                await processes.start(2)
                await processes.wait_until_followed()
                cluster.start(number)
                await eventually(lambda: cluster.is_whole())
            cluster.kill(0)
            cluster.kill(1)
            await eventually(lambda: is_unavailable(etcd))
            assert len(processes.directory.instances) == 2, "without a majority the last list stays in use"
            cluster.start(0)
            await eventually(lambda: is_available(etcd))
            await processes.start(3)
            await processes.wait_until_followed()


async def is_unavailable(etcd: Etcd) -> bool:
    return not await is_available(etcd)


class Cluster:
    """Three members of one etcd."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = [(free_port(), free_port()) for _ in range(3)]
        self._members: dict[int, subprocess.Popen[bytes]] = {}
        self.url = "etcd://" + ",".join(f"127.0.0.1:{client}" for client, _ in self._ports) + "/registry"

    def __enter__(self) -> Cluster:
        for number in range(3):
            self.start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._members):
            self.kill(number)

    def start(self, number: int) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[number])
        members = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, (_, port) in enumerate(self._ports))
        with (self._folder / f"m{number}.log").open("ab") as log:
            self._members[number] = subprocess.Popen(
                [
                    "etcd", "--name", f"m{number}", "--data-dir", str(self._folder / f"m{number}"),
                    "--listen-client-urls", client, "--advertise-client-urls", client,
                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", members,
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip

    def kill(self, number: int) -> None:
        member = self._members.pop(number)
        member.kill()
        member.wait()

    async def is_whole(self) -> bool:
        for client, _ in self._ports:
            async with Etcd(f"etcd://127.0.0.1:{client}/registry") as etcd:
                if not await is_available(etcd):
                    return False
        return True


async def compact(url: str) -> None:
    """Compact etcd: discard every revision before the present one."""
    now = (await call(url, "kv/range", {"key": base64.b64encode(b"x").decode()}))["header"]["revision"]
    await call(url, "kv/compaction", {"revision": now, "physical": True})


async def call(url: str, path: str, body: Any) -> Any:
    host = url.split("/")[2]
    async with HttpClient() as http:
        response = await http.request("POST", f"http://{host}/v3/{path}", body=msgspec.json.encode(body), timeout_s=5)
        assert response.status == 200, response.body
        return msgspec.json.decode(response.body)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
