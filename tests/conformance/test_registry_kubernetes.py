"""What befalls a registry in Kubernetes: slices as clusters make them, an API server killed, hung, slow, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.conformance.kubernetes_rig import Api, Controller, endpoint, slice_of
from tests.deployment import eventually
from tests.engines import private_engine, shared_engine, slow_proxy, unique_name

from matinee.drivers.engine import EngineUnavailable, WrongVersion
from matinee.drivers.kubernetes import Kubernetes, ResourceVersionExpired
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.lab.engines import Running
from matinee.mesh.adapters.kubernetes import SLICES, KubernetesRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory

CLOCK = SystemClock()
NOW = CLOCK.now()


def instance(number: int, *services: str) -> Instance:
    return Instance(
        instance_id=InstanceId(f"ins_{number:03}"), address=f"http://10.0.0.{number}:8000", services=services or ("a",)
    )


class Town:
    """A namespace whose controller is a test, and a process that follows it; `road` is another way to the same."""

    def __init__(self, url: str, road: str = "") -> None:
        self.url, self.road = url, road or url
        self.stack = AsyncExitStack()
        self.inhabitants: set[int] = set()

    async def __aenter__(self) -> Town:
        self.api = await self.stack.enter_async_context(Api(self.url))
        self.controller = Controller(self.api)
        self.registry = await self.opened(self.road)
        self.directory = Directory(registry=self.registry, clock=CLOCK)
        following = asyncio.create_task(self.directory.run())
        self.stack.callback(following.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def opened(self, url: str) -> KubernetesRegistry:
        registry = await KubernetesRegistry.open(await self.stack.enter_async_context(Kubernetes(url, SLICES)))
        self.stack.push_async_callback(registry.close)
        return registry

    async def come(self, *numbers: int) -> None:
        for number in numbers:
            await self.controller.register(instance=instance(number), lease_s=0, now=NOW)
            self.inhabitants.add(number)

    async def leave(self, *numbers: int) -> None:
        for number in numbers:
            await self.controller.deregister(instance_id=instance(number).instance_id)
            self.inhabitants.remove(number)

    async def all_seen(self) -> None:
        """Wait until the follower knows just those who are there."""
        await eventually(lambda: self.directory.instances == tuple(map(instance, sorted(self.inhabitants))))


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with Town(shared_engine("kubernetes").url("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One to be killed: whoever does starts it again."""
    with private_engine("kubernetes", tmp_path_factory.mktemp("own")) as running:
        yield running


def several(service: str, name: str, *endpoints: dict[str, Any], kind: str = "IPv4", **ports: int) -> dict[str, Any]:
    """A slice with several pods."""
    one = slice_of(service, name, "http://10.0.0.1:1")
    ports = ports or {"mesh": 8000}
    listed = [{"name": port.replace("_", ""), "port": number} for port, number in ports.items()]
    return {**one, "endpoints": endpoints, "ports": listed, "addressType": kind}


async def test_pods_are_instances_by_what_the_cluster_says_of_them(town: Town) -> None:
    ready = endpoint("003", "10.0.0.3", ready=True)
    unready = endpoint("004", "10.0.0.4", ready=False, serving=False, terminating=False)
    going = endpoint("005", "10.0.0.5", ready=False, serving=True, terminating=True)
    failing = endpoint("006", "10.0.0.6", ready=False, serving=False, terminating=True)
    unknown = endpoint("007", "10.0.0.7")
    for one in (
        several("b", "b-1", ready, unready, unknown),
        several("b", "b-2", ready, going, failing),  # while a pod moves between slices it is in both
        several("a", "a-1", ready, metrics=9000, mesh=8000),
        several("a", "a-2", endpoint("003", "fd00::3", ready=True), kind="IPv6"),
        several("a", "a-3", endpoint("008", "fd00::8", ready=True), kind="IPv6", _=8000),
        several("a", "a-4", kind="IPv6"),
        {**several("a", "a-5", endpoint("009", "10.0.0.9")), "ports": []},
    ):
        await town.api.put_slice(one)
    by_hand = {"addresses": ["10.0.0.77"]}
    await town.api.put_slice(several("c", "c-1", by_hand))
    found = [
        ("ins_003", "http://10.0.0.3:8000", ("a", "b"), False),
        ("ins_005", "http://10.0.0.5:8000", ("b",), True),
        ("ins_006", "http://10.0.0.6:8000", ("b",), True),
        ("ins_007", "http://10.0.0.7:8000", ("b",), False),
        ("ins_008", "http://[fd00::8]:8000", ("a",), False),
        ("ins_10.0.0.77", "http://10.0.0.77:8000", ("c",), False),
    ]
    for registry in (town.registry, await town.opened(town.url)):  # one that follows, and one that has only just come
        await eventually(lambda registry=registry: shows(registry, found))


async def shows(registry: KubernetesRegistry, found: list[tuple[Any, ...]]) -> bool:
    there = await registry.list_instances(now=NOW)
    return [(one.instance_id, one.address, one.services, one.draining) for one in there] == found


async def test_what_others_have_in_the_namespace_is_not_seen(town: Town) -> None:
    foreign = slice_of("a", "001", "http://10.0.0.1:1")
    foreign["metadata"]["labels"]["app.kubernetes.io/part-of"] = "something-else"
    nameless = slice_of("b", "002", "http://10.0.0.2:1")
    del nameless["metadata"]["labels"]["app.kubernetes.io/component"]
    for one in (foreign, nameless):
        await town.api.put_slice(one)
    await town.come(3)
    await town.all_seen()


async def test_to_enter_and_to_leave_is_the_clusters(town: Town) -> None:
    await town.come(1)
    await town.all_seen()
    await town.registry.register(instance=instance(2), lease_s=1, now=NOW)
    assert await town.registry.renew(instance_id=instance(2).instance_id, lease_s=1, now=NOW)
    await town.registry.drain(instance_id=instance(1).instance_id)
    await town.registry.deregister(instance_id=instance(1).instance_id)
    assert await (await town.opened(town.url)).list_instances(now=NOW) == (instance(1),)


async def test_a_pod_that_is_deleted_drains_and_goes(town: Town) -> None:
    await town.come(1, 2)
    await town.all_seen()
    await town.controller.drain(instance_id=instance(1).instance_id)
    await eventually(lambda: [one.draining for one in town.directory.instances] == [True, False])
    await town.leave(1)
    await town.all_seen()


async def test_many_come_and_go_at_once(town: Town) -> None:
    await asyncio.gather(*(town.come(number) for number in range(1, 41)))
    await asyncio.gather(*(town.leave(number) for number in range(2, 41, 2)))
    await asyncio.gather(*(town.come(number) for number in range(41, 51)))
    await town.all_seen()


async def test_a_slice_of_a_thousand_is_followed_without_asking_again(own: Running) -> None:
    async with Town(own.url(unique_name("registry"))) as town:
        await town.come(1)
        await town.all_seen()
        asked = await listings(town.api)
        pods = [endpoint(f"{number:04}", f"10.1.{number >> 8}.{number & 255}", ready=True) for number in range(1000)]
        await town.api.put_slice(several("a", "many", *pods))
        await eventually(lambda: len(town.directory.instances) == 1001)
        await town.registry.check()
        assert await listings(town.api) == asked


async def test_a_watch_that_ends_is_renewed_without_asking_again(own: Running) -> None:
    url = own.url(unique_name("registry"))
    async with Town(url) as town, Kubernetes(url, SLICES, watch_s=1) as kubernetes:
        registry = await KubernetesRegistry.open(kubernetes)
        directory = Directory(registry=registry, clock=CLOCK)
        following = asyncio.create_task(directory.run())
        await town.come(1)
        await eventually(lambda: directory.instances == (instance(1),))
        asked = await listings(town.api)
        await asyncio.sleep(3)  # three watches, and nothing new to tell
        await town.api.put_slice(slice_of("a", "002", instance(2).address))
        await eventually(lambda: directory.instances == (instance(1), instance(2)))
        assert await listings(town.api) == asked
        following.cancel()
        await registry.close()


async def listings(api: Api) -> int:
    """How often slices were listed of this API server."""
    text = await api.words("/metrics")
    counts = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
    ours = [line for line in counts if 'resource="endpointslices"' in line and 'verb="LIST"' in line]
    return sum(int(line.rpartition(" ")[2]) for line in ours)


async def test_killed_and_back_it_has_lost_nobody(own: Running) -> None:
    async with Town(own.url(unique_name("registry"))) as town:
        await town.come(1, 2)
        await town.all_seen()
        late = await town.opened(town.url)
        assert len(await late.list_instances(now=NOW)) == 2
        own.kill()
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                await late.list_instances(now=NOW)
            await late.wait_for_change(poll_s=0.01)
        with pytest.raises(EngineUnavailable):
            await eventually(lambda: town.registry.check())
        await town.directory.refresh()
        assert len(town.directory.instances) == 2, "the last list stays in use"
        await asyncio.to_thread(own.start)
        await town.come(3)
        await town.leave(1)
        await town.all_seen()
        await eventually(lambda: well(town.registry))


async def well(registry: KubernetesRegistry) -> bool:
    try:
        await registry.check()
    except EngineUnavailable:
        return False
    return True


async def test_hung_it_takes_nobody_out(own: Running) -> None:
    async with Town(own.url(unique_name("registry"))) as town:
        await town.come(1, 2)
        await town.all_seen()
        own.pause()
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await town.opened(town.url)
        assert len(town.directory.instances) == 2
        own.resume()
        await town.come(3)
        await town.all_seen()


async def test_changes_behind_a_watch_that_broke_are_seen(town: Town) -> None:
    async with slow_proxy(town.url) as road, Town(town.url, road.url) as far:
        await far.come(1)
        await far.all_seen()
        road.disconnect()
        await far.come(*range(2, 12))
        await far.leave(*range(1, 8))
        assert far.directory.instances == (instance(1),)
        road.restore()
        await far.all_seen()
        await far.come(12)
        await far.all_seen()


async def test_changes_that_the_server_has_forgotten_are_seen(own: Running) -> None:
    """A watch that would go on from before its start is refused by a server that was started again."""
    async with Town(own.url(unique_name("registry"))) as town:
        await town.come(1)
        late = await town.opened(town.url)
        assert await late.list_instances(now=NOW) == (instance(1),)
        async with Kubernetes(town.url, SLICES) as kubernetes:
            version = (await kubernetes.list()).version
            await town.come(2)
            await town.leave(1)
            own.kill()
            await asyncio.to_thread(own.start)
            with pytest.raises(ResourceVersionExpired):
                await anext(kubernetes.watch(version))
        await late.wait_for_change(poll_s=30)
        assert await late.list_instances(now=NOW) == (instance(2),)


async def test_slow_answers_part_nobody(town: Town) -> None:
    async with slow_proxy(town.url) as road, Town(town.url, road.url) as far:
        await far.come(1, 2)
        await far.all_seen()
        road.delay_s = 0.5
        await far.come(3)
        await far.all_seen()
        road.disconnect()
        road.restore()
        await far.leave(3)
        await far.all_seen()


def with_token(api: Api, folder: Path, token: str) -> str:
    (folder / "token").write_text(token)
    return api.url.replace(api.query["token"], str(folder / "token"))


async def test_a_token_that_is_replaced_is_read_anew(town: Town, tmp_path: Path) -> None:
    await town.api.account("matinee", "get", "list", "watch")
    registry = await town.opened(with_token(town.api, tmp_path, await town.api.token("matinee")))
    (tmp_path / "token").write_text("run out")
    with pytest.raises(EngineUnavailable, match="refuses the token"):
        await registry.check()
    (tmp_path / "token").write_text(await town.api.token("matinee"))
    await registry.check()
    (tmp_path / "token").unlink()
    with pytest.raises(EngineUnavailable, match="token cannot be read"):
        await registry.check()


async def test_an_account_without_its_role_is_told_which(town: Town, tmp_path: Path) -> None:
    await town.api.account("stranger")
    url = with_token(town.api, tmp_path, await town.api.token("stranger"))
    with pytest.raises(EngineUnavailable) as refused:
        await town.opened(url)
    for word in (
        f"system:serviceaccount:{town.api.namespace}:stranger",
        "Role",
        "get, list and watch",
        "endpointslices",
    ):
        assert word in refused.value.detail
    await town.api.allow("stranger", "get", "list", "watch")
    await eventually(lambda: opens(town, url))


async def opens(town: Town, url: str) -> bool:
    try:
        await town.opened(url)
    except EngineUnavailable:
        return False
    return True


async def test_one_that_may_list_and_not_watch_follows_all_the_same_and_says_so(town: Town, tmp_path: Path) -> None:
    await town.api.account("reader", "get", "list")
    async with Town(town.url, with_token(town.api, tmp_path, await town.api.token("reader"))) as blind:
        await blind.come(1)
        await blind.all_seen()
        await blind.come(2)
        await blind.all_seen()
        with pytest.raises(EngineUnavailable, match=r"refuses the watch.*Role"):
            await eventually(lambda: blind.registry.check())


async def test_in_a_cluster_the_service_account_says_where(
    own: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own.url(unique_name("registry"))
    async with Town(url) as town:
        await town.come(1)
        await town.api.account("matinee", "get", "list", "watch")
        (tmp_path / "namespace").write_text(town.api.namespace)
        (tmp_path / "token").write_text(await town.api.token("matinee"))
        (tmp_path / "ca.crt").write_bytes((own.place.folder / "ca.crt").read_bytes())
        with pytest.raises(ValueError, match="is not in a Kubernetes cluster"):
            Kubernetes("kubernetes:", SLICES)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", own.place.host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(own.place.port))
        for named in ("kubernetes:", "kubernetes://", f"kubernetes:///{town.api.namespace}"):
            async with Kubernetes(named, SLICES, account=tmp_path) as kubernetes:
                assert await (await KubernetesRegistry.open(kubernetes)).list_instances(now=NOW) == (instance(1),)
                assert kubernetes.engine == f"kubernetes at {own.place.client}"
        with pytest.raises(ValueError, match="no service account"):
            Kubernetes("kubernetes:", SLICES, account=tmp_path / "nowhere")


async def test_a_server_of_another_authority_is_not_spoken_to(own: Running, town: Town) -> None:
    url = own.url("registry").replace(str(own.place.folder), str(Path(town.api.query["ca"]).parent))
    with pytest.raises(EngineUnavailable, match="certificate"):
        await town.opened(url)
    with pytest.raises(EngineUnavailable, match="certificate cannot be used"):
        await town.opened(town.url.replace("ca.crt", "token"))


async def test_what_knows_no_slices_is_refused(own: Running) -> None:
    """v1 came with 1.21; before there was v1beta1, which newer ones know no more."""
    async with Kubernetes(own.url("registry"), msgspec.structs.replace(SLICES, version="v1beta1")) as kubernetes:
        with pytest.raises(WrongVersion):
            await KubernetesRegistry.open(kubernetes)
