"""The registry in Kubernetes: EndpointSlices as clusters create them, and an API server that fails in many ways."""

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
from matinee.lab.engines import EngineProcess
from matinee.mesh.adapters.kubernetes import SLICES, KubernetesRegistry
from matinee.mesh.api import Instance
from matinee.mesh.membership import Directory

CLOCK = SystemClock()
NOW = CLOCK.now()


def instance(number: int, *services: str) -> Instance:
    return Instance(
        instance_id=InstanceId(f"ins_{number:03}"), address=f"http://10.0.0.{number}:8000", services=services or ("a",)
    )


class Namespace:
    """A namespace with a controller (the test) and a process that follows the registry, possibly through a proxy."""

    def __init__(self, url: str, proxy_url: str = "") -> None:
        self.url, self.proxy_url = url, proxy_url or url
        self.stack = AsyncExitStack()
        self.members: set[int] = set()

    async def __aenter__(self) -> Namespace:
        self.api = await self.stack.enter_async_context(Api(self.url))
        self.controller = Controller(self.api)
        self.registry = await self.open(self.proxy_url)
        self.directory = Directory(registry=self.registry, clock=CLOCK)
        following = asyncio.create_task(self.directory.run())
        self.stack.callback(following.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def open(self, url: str) -> KubernetesRegistry:
        registry = await KubernetesRegistry.open(await self.stack.enter_async_context(Kubernetes(url, SLICES)))
        self.stack.push_async_callback(registry.close)
        return registry

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            await self.controller.register(instance=instance(number), lease_s=0, now=NOW)
            self.members.add(number)

    async def stop(self, *numbers: int) -> None:
        for number in numbers:
            await self.controller.deregister(instance_id=instance(number).instance_id)
            self.members.remove(number)

    async def wait_until_followed(self) -> None:
        """Wait until the follower has exactly the members."""
        await eventually(lambda: self.directory.instances == tuple(map(instance, sorted(self.members))))


@pytest.fixture
async def namespace() -> AsyncIterator[Namespace]:
    async with Namespace(shared_engine("kubernetes").url("registry")) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A server of this module. A test that kills it starts it again."""
    with private_engine("kubernetes", tmp_path_factory.mktemp("server")) as running:
        yield running


def slice_with(service: str, name: str, *endpoints: dict[str, Any], kind: str = "IPv4", **ports: int) -> dict[str, Any]:
    """Return a slice with several endpoints."""
    one = slice_of(service, name, "http://10.0.0.1:1")
    ports = ports or {"mesh": 8000}
    listed = [{"name": port.replace("_", ""), "port": number} for port, number in ports.items()]
    return {**one, "endpoints": endpoints, "ports": listed, "addressType": kind}


async def test_instances_follow_from_endpoint_conditions_ports_and_addresses(namespace: Namespace) -> None:
    ready = endpoint("003", "10.0.0.3", ready=True)
    unready = endpoint("004", "10.0.0.4", ready=False, serving=False, terminating=False)
    ending = endpoint("005", "10.0.0.5", ready=False, serving=True, terminating=True)
    failing = endpoint("006", "10.0.0.6", ready=False, serving=False, terminating=True)
    unknown = endpoint("007", "10.0.0.7")
    for one in (
        slice_with("b", "b-1", ready, unready, unknown, app=8001, mesh=8000),
        slice_with("b", "b-2", ready, ending, failing),  # a pod that moves between slices is in both for a while
        slice_with("a", "a-1", ready, metrics=9000, mesh=8000),
        slice_with("a", "a-2", endpoint("003", "fd00::3", ready=True), kind="IPv6"),
        slice_with("a", "a-3", endpoint("008", "fd00::8", ready=True), kind="IPv6", app=8001, _=8000),
        slice_with("a", "a-4", kind="IPv6"),
        {**slice_with("a", "a-5", endpoint("009", "10.0.0.9")), "ports": []},
    ):
        await namespace.api.put_slice(one)
    manual = {"addresses": ["10.0.0.77"]}
    await namespace.api.put_slice(slice_with("c", "c-1", manual))
    found = [
        ("ins_003", "http://10.0.0.3:8000", "http://10.0.0.3:8001", ("a", "b"), False),
        ("ins_005", "http://10.0.0.5:8000", "", ("b",), True),
        ("ins_006", "http://10.0.0.6:8000", "", ("b",), True),
        ("ins_007", "http://10.0.0.7:8000", "http://10.0.0.7:8001", ("b",), False),
        ("ins_008", "http://[fd00::8]:8000", "http://[fd00::8]:8001", ("a",), False),
        ("ins_10.0.0.77", "http://10.0.0.77:8000", "", ("c",), False),
    ]
    for registry in (namespace.registry, await namespace.open(namespace.url)):  # one that follows, and a new one
        await eventually(lambda registry=registry: has_instances(registry, found))


async def has_instances(registry: KubernetesRegistry, found: list[tuple[Any, ...]]) -> bool:
    listed = await registry.list_instances(now=NOW)
    return [(one.instance_id, one.address, one.app_address, one.services, one.draining) for one in listed] == found


async def test_slices_of_other_applications_are_ignored(namespace: Namespace) -> None:
    foreign = slice_of("a", "001", "http://10.0.0.1:1")
    foreign["metadata"]["labels"]["app.kubernetes.io/part-of"] = "something-else"
    nameless = slice_of("b", "002", "http://10.0.0.2:1")
    del nameless["metadata"]["labels"]["app.kubernetes.io/component"]
    for one in (foreign, nameless):
        await namespace.api.put_slice(one)
    await namespace.start(3)
    await namespace.wait_until_followed()


async def test_registering_and_deregistering_change_nothing(namespace: Namespace) -> None:
    await namespace.start(1)
    await namespace.wait_until_followed()
    await namespace.registry.register(instance=instance(2), lease_s=1, now=NOW)
    assert await namespace.registry.renew(instance_id=instance(2).instance_id, lease_s=1, now=NOW)
    await namespace.registry.drain(instance_id=instance(1).instance_id)
    await namespace.registry.deregister(instance_id=instance(1).instance_id)
    assert await (await namespace.open(namespace.url)).list_instances(now=NOW) == (instance(1),)


async def test_deleted_pod_drains_and_is_removed(namespace: Namespace) -> None:
    await namespace.start(1, 2)
    await namespace.wait_until_followed()
    await namespace.controller.drain(instance_id=instance(1).instance_id)
    await eventually(lambda: [one.draining for one in namespace.directory.instances] == [True, False])
    await namespace.stop(1)
    await namespace.wait_until_followed()


async def test_concurrent_starts_and_stops_are_followed(namespace: Namespace) -> None:
    await asyncio.gather(*(namespace.start(number) for number in range(1, 41)))
    await asyncio.gather(*(namespace.stop(number) for number in range(2, 41, 2)))
    await asyncio.gather(*(namespace.start(number) for number in range(41, 51)))
    await namespace.wait_until_followed()


async def test_slice_of_a_thousand_endpoints_is_followed_without_listing_again(server: EngineProcess) -> None:
    async with Namespace(server.url(unique_name("registry"))) as namespace:
        await namespace.start(1)
        await namespace.wait_until_followed()
        before = await count_lists(namespace.api)
        pods = [endpoint(f"{number:04}", f"10.1.{number >> 8}.{number & 255}", ready=True) for number in range(1000)]
        await namespace.api.put_slice(slice_with("a", "many", *pods))
        await eventually(lambda: len(namespace.directory.instances) == 1001)
        await namespace.registry.check()
        assert await count_lists(namespace.api) == before


async def test_ended_watch_is_renewed_without_listing_again(server: EngineProcess) -> None:
    url = server.url(unique_name("registry"))
    async with Namespace(url) as namespace, Kubernetes(url, SLICES, watch_s=1) as kubernetes:
        registry = await KubernetesRegistry.open(kubernetes)
        directory = Directory(registry=registry, clock=CLOCK)
        following = asyncio.create_task(directory.run())
        await namespace.start(1)
        await eventually(lambda: directory.instances == (instance(1),))
        before = await count_lists(namespace.api)
        await asyncio.sleep(3)  # three watches without a change
        await namespace.api.put_slice(slice_of("a", "002", instance(2).address))
        await eventually(lambda: directory.instances == (instance(1), instance(2)))
        assert await count_lists(namespace.api) == before
        following.cancel()
        await registry.close()


async def count_lists(api: Api) -> int:
    """Return how often the API server has listed slices."""
    text = await api.request_text("/metrics")
    counts = [line for line in text.splitlines() if line.startswith("apiserver_request_total{")]
    ours = [line for line in counts if 'resource="endpointslices"' in line and 'verb="LIST"' in line]
    return sum(int(line.rpartition(" ")[2]) for line in ours)


async def test_restarted_server_loses_no_instance(server: EngineProcess) -> None:
    async with Namespace(server.url(unique_name("registry"))) as namespace:
        await namespace.start(1, 2)
        await namespace.wait_until_followed()
        late = await namespace.open(namespace.url)
        assert len(await late.list_instances(now=NOW)) == 2
        server.kill()
        for _ in range(3):
            with pytest.raises(EngineUnavailable):
                await late.list_instances(now=NOW)
            await late.wait_for_change(poll_s=0.01)
        with pytest.raises(EngineUnavailable):
            await eventually(lambda: namespace.registry.check())
        await namespace.directory.refresh()
        assert len(namespace.directory.instances) == 2, "the last list stays in use"
        await asyncio.to_thread(server.start)
        await namespace.start(3)
        await namespace.stop(1)
        await namespace.wait_until_followed()
        await eventually(lambda: is_ok(namespace.registry))


async def is_ok(registry: KubernetesRegistry) -> bool:
    try:
        await registry.check()
    except EngineUnavailable:
        return False
    return True


async def test_hung_server_removes_no_instance(server: EngineProcess) -> None:
    async with Namespace(server.url(unique_name("registry"))) as namespace:
        await namespace.start(1, 2)
        await namespace.wait_until_followed()
        server.pause()
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await namespace.open(namespace.url)
        assert len(namespace.directory.instances) == 2
        server.resume()
        await namespace.start(3)
        await namespace.wait_until_followed()


async def test_changes_during_a_broken_watch_are_followed(namespace: Namespace) -> None:
    async with slow_proxy(namespace.url) as proxy, Namespace(namespace.url, proxy.url) as remote:
        await remote.start(1)
        await remote.wait_until_followed()
        proxy.disconnect()
        await remote.start(*range(2, 12))
        await remote.stop(*range(1, 8))
        assert remote.directory.instances == (instance(1),)
        proxy.restore()
        await remote.wait_until_followed()
        await remote.start(12)
        await remote.wait_until_followed()


async def test_silent_watch_is_ended(namespace: Namespace) -> None:
    """A connection may be lost without either end noticing, so silence for longer than a watch lasts ends it."""
    await namespace.start(1)
    async with slow_proxy(namespace.url) as proxy, Kubernetes(proxy.url, SLICES, watch_s=1) as kubernetes:
        registry = await KubernetesRegistry.open(kubernetes)
        await registry.list_instances(now=NOW)
        await registry.wait_for_change(poll_s=0)
        await registry.check()
        proxy.delay_s = 600
        with pytest.raises(EngineUnavailable, match="does not answer"):
            await eventually(lambda: registry.check())
        await registry.close()


async def test_changes_that_the_server_no_longer_keeps_are_followed(server: EngineProcess) -> None:
    """A restarted server refuses a watch that continues from before its start."""
    async with Namespace(server.url(unique_name("registry"))) as namespace:
        await namespace.start(1)
        late = await namespace.open(namespace.url)
        assert await late.list_instances(now=NOW) == (instance(1),)
        async with Kubernetes(namespace.url, SLICES) as kubernetes:
            version = (await kubernetes.list()).version
            await namespace.start(2)
            await namespace.stop(1)
            server.kill()
            await asyncio.to_thread(server.start)
            with pytest.raises(ResourceVersionExpired):
                await anext(kubernetes.watch(version))
        await late.wait_for_change(poll_s=30)
        assert await late.list_instances(now=NOW) == (instance(2),)


async def test_slow_responses_remove_no_instance(namespace: Namespace) -> None:
    async with slow_proxy(namespace.url) as proxy, Namespace(namespace.url, proxy.url) as remote:
        await remote.start(1, 2)
        await remote.wait_until_followed()
        proxy.delay_s = 0.5
        await remote.start(3)
        await remote.wait_until_followed()
        proxy.disconnect()
        proxy.restore()
        await remote.stop(3)
        await remote.wait_until_followed()


def with_token(api: Api, folder: Path, token: str) -> str:
    (folder / "token").write_text(token)
    return api.url.replace(api.query["token"], str(folder / "token"))


async def test_replaced_token_is_read(namespace: Namespace, tmp_path: Path) -> None:
    await namespace.api.create_account("matinee", "get", "list", "watch")
    registry = await namespace.open(with_token(namespace.api, tmp_path, await namespace.api.create_token("matinee")))
    (tmp_path / "token").write_text("expired")
    with pytest.raises(EngineUnavailable, match="refuses the token"):
        await registry.check()
    (tmp_path / "token").write_text(await namespace.api.create_token("matinee"))
    await registry.check()
    (tmp_path / "token").unlink()
    with pytest.raises(EngineUnavailable, match="token cannot be read"):
        await registry.check()


async def test_error_names_the_missing_role(namespace: Namespace, tmp_path: Path) -> None:
    await namespace.api.create_account("unauthorized")
    url = with_token(namespace.api, tmp_path, await namespace.api.create_token("unauthorized"))
    with pytest.raises(EngineUnavailable) as refused:
        await namespace.open(url)
    for expected in (
        f"system:serviceaccount:{namespace.api.namespace}:unauthorized",
        "Role",
        "get, list and watch",
        "endpointslices",
    ):
        assert expected in refused.value.detail
    await namespace.api.allow("unauthorized", "get", "list", "watch")
    await eventually(lambda: can_open(namespace, url))


async def can_open(namespace: Namespace, url: str) -> bool:
    try:
        await namespace.open(url)
    except EngineUnavailable:
        return False
    return True


async def test_registry_without_permission_to_watch_polls_and_reports_it(namespace: Namespace, tmp_path: Path) -> None:
    await namespace.api.create_account("reader", "get", "list")
    async with Namespace(
        namespace.url, with_token(namespace.api, tmp_path, await namespace.api.create_token("reader"))
    ) as polling:
        await polling.start(1)
        await polling.wait_until_followed()
        await polling.start(2)
        await polling.wait_until_followed()
        with pytest.raises(EngineUnavailable, match=r"refuses the watch.*Role"):
            await eventually(lambda: polling.registry.check())


async def test_service_account_names_the_cluster(
    server: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url(unique_name("registry"))
    async with Namespace(url) as namespace:
        await namespace.start(1)
        await namespace.api.create_account("matinee", "get", "list", "watch")
        (tmp_path / "namespace").write_text(namespace.api.namespace)
        (tmp_path / "token").write_text(await namespace.api.create_token("matinee"))
        (tmp_path / "ca.crt").write_bytes((server.location.folder / "ca.crt").read_bytes())
        with pytest.raises(ValueError, match="is not in a Kubernetes cluster"):
            Kubernetes("kubernetes:", SLICES)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.location.host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.location.port))
        for cluster_url in ("kubernetes:", "kubernetes://", f"kubernetes:///{namespace.api.namespace}"):
            async with Kubernetes(cluster_url, SLICES, account=tmp_path) as kubernetes:
                assert await (await KubernetesRegistry.open(kubernetes)).list_instances(now=NOW) == (instance(1),)
                assert kubernetes.engine == f"kubernetes at {server.location.client}"
        with pytest.raises(ValueError, match="no service account"):
            Kubernetes("kubernetes:", SLICES, account=tmp_path / "nowhere")


async def test_server_certificate_of_another_authority_is_refused(server: EngineProcess, namespace: Namespace) -> None:
    url = server.url("registry").replace(str(server.location.folder), str(Path(namespace.api.query["ca"]).parent))
    with pytest.raises(EngineUnavailable, match="certificate"):
        await namespace.open(url)
    with pytest.raises(EngineUnavailable, match="certificate of its authority cannot be used"):
        await namespace.open(namespace.url.replace("ca.crt", "token"))


async def test_server_without_the_resource_is_refused(server: EngineProcess) -> None:
    """Servers since 1.21 have v1; v1beta1, which older ones had, is removed."""
    async with Kubernetes(server.url("registry"), msgspec.structs.replace(SLICES, version="v1beta1")) as kubernetes:
        with pytest.raises(WrongVersion):
            await KubernetesRegistry.open(kubernetes)
