"""What befalls a registry in etcd: killed, hung, emptied, compacted, full, closed to strangers, one member of three."""

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
from matinee.lab.engines import Running
from matinee.mesh.adapters.etcd import EtcdRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory, Membership

LEASE_S = 3.0
CLOCK = SystemClock()


def instance(number: int) -> Instance:
    return Instance(
        instance_id=InstanceId(f"ins_{number:03}"), address=f"http://127.0.0.1:{number}", services=("identity",)
    )


class Town:
    """Processes, each with its own way to the registry: those that are in it, and one that follows it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = AsyncExitStack()
        self.inhabitants: dict[int, tuple[Membership, asyncio.Task[None]]] = {}

    async def __aenter__(self) -> Town:
        self.directory = Directory(registry=await self.registry(), clock=CLOCK)
        self.started(self.directory.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def registry(self) -> EtcdRegistry:
        registry = await EtcdRegistry.open(await self.stack.enter_async_context(Etcd(self.url)))
        self.stack.push_async_callback(registry.close)
        return registry

    def started(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.stack.callback(task.cancel)
        return task

    async def come(self, *numbers: int) -> None:
        for number in numbers:
            membership = Membership(
                registry=await self.registry(), instance=instance(number), clock=CLOCK, renew_s=0.5, lease_s=LEASE_S
            )
            self.inhabitants[number] = membership, self.started(membership.run())

    async def leave(self, number: int) -> None:
        membership, renewing = self.inhabitants.pop(number)
        renewing.cancel()
        await membership.leave()

    def die(self, number: int) -> None:
        self.inhabitants.pop(number)[1].cancel()

    async def all_seen(self) -> None:
        """Wait until the follower knows just those who are there."""
        await eventually(lambda: self.directory.instances == tuple(map(instance, sorted(self.inhabitants))))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    with private_engine("etcd", tmp_path) as running:
        yield running


@pytest.fixture
async def town(own: Running) -> AsyncIterator[Town]:
    async with Town(own.url("registry")) as made:
        yield made


async def test_who_dies_is_gone_when_its_lease_is_out_and_nobody_else(town: Town) -> None:
    await town.come(1, 2, 3)
    await town.all_seen()
    town.die(2)
    await town.all_seen()


async def test_many_come_and_go_at_once(town: Town) -> None:
    await asyncio.gather(*(town.come(number) for number in range(40)))
    await asyncio.gather(*(town.leave(number) for number in range(0, 40, 2)))
    await asyncio.gather(*(town.come(number) for number in range(40, 50)))
    await town.all_seen()


async def test_killed_and_back_it_has_lost_nobody(town: Town, own: Running) -> None:
    await town.come(1, 2)
    await town.all_seen()
    own.kill()
    known = town.directory.instances
    await asyncio.sleep(LEASE_S + 1)  # longer than a lease
    await town.directory.refresh()
    assert town.directory.instances == known, "the last list stays in use"
    own.start()
    await town.all_seen()
    await town.come(3)
    await town.leave(1)
    await town.all_seen()


async def test_hung_it_takes_nobody_out(town: Town, own: Running) -> None:
    await town.come(1, 2)
    await town.all_seen()
    own.pause()
    await asyncio.sleep(LEASE_S + 1)
    assert len(town.directory.instances) == 2
    own.resume()
    await town.come(3)
    await town.all_seen()


async def test_back_without_its_data_everybody_enters_again(town: Town, own: Running) -> None:
    await town.come(*range(8))
    await town.all_seen()
    own.kill()
    shutil.rmtree(own.place.data)
    own.start()
    await eventually(lambda: town.directory.instances != ())
    await town.all_seen()
    await town.come(9)
    await town.all_seen()


async def test_changes_behind_a_watch_that_broke_are_seen_though_they_were_compacted(town: Town) -> None:
    async with slow_proxy(town.url) as road, Town(road.url) as far:
        await town.come(1)
        far.inhabitants = town.inhabitants
        await far.all_seen()
        road.disconnect()
        for number in range(2, 12):
            await town.come(number)
        for number in range(1, 8):
            await town.leave(number)
        await town.all_seen()
        await compact(town.url)
        road.restore()
        await far.all_seen()
        await town.come(12)
        await far.all_seen()


async def test_a_key_that_somebody_dropped_is_entered_again(town: Town) -> None:
    await town.come(1)
    await town.all_seen()
    async with Etcd(town.url) as etcd:
        await etcd.delete("instances/ins_001")
    await eventually(lambda: not town.directory.instances)
    await town.all_seen()


async def test_slow_answers_part_nobody(own: Running) -> None:
    async with slow_proxy(own.url("registry")) as road, Town(road.url) as town:
        await town.come(1, 2)
        await town.all_seen()
        road.delay_s = LEASE_S / 6  # before each piece of an answer, which may come in two; a renewal may be two calls
        await asyncio.sleep(LEASE_S * 2)
        assert len(town.directory.instances) == 2


async def test_the_first_member_that_answers_is_asked(own: Running) -> None:
    dead = free_port()
    url = own.url("registry").replace("etcd://", f"etcd://127.0.0.1:{dead},")
    async with Town(url) as town:
        await town.come(1)
        await town.all_seen()


async def test_away_it_says_so_in_time(own: Running) -> None:
    async with Etcd(own.url("registry")) as etcd:
        own.pause()
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await etcd.get_prefix("")
        own.resume()
        await eventually(lambda: answers(etcd))


async def answers(etcd: Etcd) -> bool:
    with contextlib.suppress(EngineUnavailable):
        await etcd.check()
        return True
    return False


async def test_what_is_no_etcd_of_today_is_refused(tmp_path: Path) -> None:
    """Before 3.4 the gateway was elsewhere: anything that speaks HTTP and knows nothing under `/v3` is as good."""
    with private_engine("s3", tmp_path) as other:
        async with Etcd(f"etcd://127.0.0.1:{other.place.port}/registry") as etcd:
            with pytest.raises((WrongVersion, EngineUnavailable)):
                await EtcdRegistry.open(etcd)


async def test_full_it_keeps_everybody_and_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_QUOTA_BACKEND_BYTES", str(1 << 20))
    with private_engine("etcd", tmp_path) as own:
        async with Town(own.url("registry")) as town, Etcd(own.url("filler")) as filler:
            await town.come(1)
            await town.all_seen()
            lease = await filler.grant_lease(3600)
            with pytest.raises(StoreFull):
                await fill(filler, lease)
            with pytest.raises(StoreFull):
                await filler.check()
            await asyncio.sleep(LEASE_S + 1)
            assert town.directory.instances == (instance(1),), "who is in renews its lease"
            with pytest.raises(StoreFull):
                await (await town.registry()).register(instance=instance(2), lease_s=LEASE_S, now=CLOCK.now())


async def fill(etcd: Etcd, lease: int) -> None:
    for number in range(100):
        await etcd.put(f"{number}", b"x" * 100_000, lease=lease)


async def test_it_opens_to_those_who_sign_in(own: Running) -> None:
    url = own.url("registry")
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
        await asked(url, path, body)
    signed_in = url.replace("etcd://", "etcd://matinee:first%2C%20second@")
    async with Town(signed_in) as town, Etcd(signed_in.replace("/registry", "/elsewhere")) as elsewhere:
        await town.come(1)
        await town.all_seen()
        await town.leave(1)
        await town.all_seen()
        with pytest.raises(EngineUnavailable, match="refused"):
            await elsewhere.get_prefix("")
    for stranger in ("etcd://", "etcd://root:wrong@"):
        async with Etcd(url.replace("etcd://", stranger)) as etcd:
            with pytest.raises(EngineUnavailable, match="refused"):
                await etcd.get_prefix("")


async def test_of_three_members_any_one_may_die(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        async with Etcd(cluster.url) as etcd:
            await eventually(lambda: answers(etcd))
        async with Town(cluster.url) as town, Etcd(cluster.url) as etcd:
            await town.come(1, 2)
            await town.all_seen()
            for number in range(3):
                cluster.kill(number)
                town.die(2)
                await town.all_seen()
                await town.come(2)
                await town.all_seen()
                cluster.start(number)
                await eventually(lambda: cluster.is_whole())
            cluster.kill(0)
            cluster.kill(1)
            await eventually(lambda: none_answers(etcd))
            assert len(town.directory.instances) == 2, "without a majority the last list stays in use"
            cluster.start(0)
            await eventually(lambda: answers(etcd))
            await town.come(3)
            await town.all_seen()


async def none_answers(etcd: Etcd) -> bool:
    return not await answers(etcd)


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
                if not await answers(etcd):
                    return False
        return True


async def compact(url: str) -> None:
    """Drop everything that etcd remembers of before now."""
    now = (await asked(url, "kv/range", {"key": base64.b64encode(b"x").decode()}))["header"]["revision"]
    await asked(url, "kv/compaction", {"revision": now, "physical": True})


async def asked(url: str, path: str, body: Any) -> Any:
    place = url.split("/")[2]
    async with HttpClient() as http:
        answer = await http.request("POST", f"http://{place}/v3/{path}", body=msgspec.json.encode(body), timeout_s=5)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
