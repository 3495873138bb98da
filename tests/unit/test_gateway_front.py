"""The proxy updater, and the proxy configuration."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.deployment import eventually

from matinee.drivers import envoy
from matinee.gateway.adapters.envoy import EnvoyProxy
from matinee.gateway.jobs import ProxyUpdater
from matinee.gateway.model.proxy import EDGES, GATEWAYS, ROUTES, Endpoint, ProxyConfig, ProxySettings
from matinee.identity.api import PublicKey, PublicKeys
from matinee.kit.ids import EdgeId, InstanceId
from matinee.kit.problem import Unreachable
from matinee.mesh.api import Instance
from matinee.steering.api import Edge, EdgeReport, Health

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = PublicKeys(keys=[PublicKey(kid="k", x="x", y="y")])


def make_gateway(app_port: int, port: int) -> Instance:
    """Return a gateway; with `app_port` 0 one of an older version, which serves all at one address."""
    return Instance(
        instance_id=InstanceId(f"ins_{port}"),
        address=f"http://127.0.0.1:{port}",
        app_address=f"http://127.0.0.1:{app_port}" if app_port else "",
        services=("gateway",),
    )


class FakeWorld:
    """The registry, identity, steering and proxy of a test; queries named in `failing` fail."""

    def __init__(self) -> None:
        self.gateways = [make_gateway(9001, 8001)]
        self.edge_health: list[tuple[str, Health]] = [("http://127.0.0.1:9101", "healthy")]
        self.failing: set[str] = set()
        self.configs: list[ProxyConfig] = []

    async def public_keys(self) -> PublicKeys:
        keys: PublicKeys = self._answer("keys", KEYS)
        return keys

    async def list_edges(self) -> list[Edge]:
        return [
            Edge(report=EdgeReport(edge_id=EdgeId(url), name=url, base_url=url), health=health, last_seen_at=NOW)
            for url, health in self._answer("edges", self.edge_health)
        ]

    async def apply(self, config: ProxyConfig) -> bool:
        if self.configs and self.configs[-1] == config:
            return False
        self.configs.append(config)
        return True

    def _answer(self, query: str, result: Any) -> Any:
        if query in self.failing:
            raise Unreachable(service=query)
        return result

    def updater(self) -> ProxyUpdater:
        fake: Any = self
        return ProxyUpdater(
            proxy=self,
            settings=lambda: ProxySettings(port=8080),
            gateways=lambda: self.gateways,
            identity=fake,
            steering=fake,
        )

    def endpoints(self, cluster: str) -> list[int]:
        return [one.port for made in self.configs[-1].clusters if made.name == cluster for one in made.endpoints]


async def test_instances_and_edges_are_applied() -> None:
    world = FakeWorld()
    updater = world.updater()
    assert await updater.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001], [9101])
    world.gateways = [make_gateway(9002, 8002), make_gateway(9001, 8001)]
    world.edge_health = [("http://127.0.0.1:9101", "unavailable"), ("https://10.0.0.7:8090/", "draining")]
    await updater.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001, 9002], [8090])
    assert updater.edge_origins() == ("https://10.0.0.7:8090",)
    await updater.update()
    assert len(world.configs) == 2
    gateways = next(made for made in world.configs[-1].clusters if made.name == GATEWAYS)
    assert [one.health_port for one in gateways.endpoints] == [8001, 8002]


async def test_successor_of_a_killed_instance_at_the_same_address_is_used() -> None:
    world = FakeWorld()
    killed, successor = make_gateway(9001, 8009), make_gateway(9001, 8001)
    world.gateways = [killed, successor]
    await world.updater().update()
    (gateways,) = (made for made in world.configs[-1].clusters if made.name == GATEWAYS)
    assert gateways.endpoints == (Endpoint("127.0.0.1", 9001, health_port=8001),)


async def test_instance_of_an_older_version_is_reached_at_its_one_address() -> None:
    world = FakeWorld()
    world.gateways = [make_gateway(0, 8001)]
    await world.updater().update()
    (gateways,) = (made for made in world.configs[-1].clusters if made.name == GATEWAYS)
    assert gateways.endpoints == (Endpoint("127.0.0.1", 8001),)


async def test_edges_below_the_public_url_are_reached_through_the_front() -> None:
    class BehindFront(FakeWorld):
        async def list_edges(self) -> list[Edge]:
            names = {"edge-a": "http://127.0.0.1:9101", "edge-b": "http://[::1]:9102", "../x": "http://127.0.0.1:9"}
            reports = [
                EdgeReport(edge_id=EdgeId(name), name=name, base_url=f"https://films.example/edge/{name}", address=url)
                for name, url in names.items()
            ]
            direct = EdgeReport(
                edge_id=EdgeId("c"), name="c", base_url="http://10.0.0.7:1", address="http://10.0.0.7:1"
            )
            return [Edge(report=one, health=Health.HEALTHY, last_seen_at=NOW) for one in [*reports, direct]]

    world = BehindFront()
    updater = world.updater()
    await updater.update()
    assert world.endpoints("edge-edge-a") == [9101]
    assert world.endpoints("edge-edge-b") == [9102]
    assert sorted(world.endpoints(EDGES)) == [1, 9, 9101, 9102]
    routes = {
        route.prefix: route for route in world.configs[0].listeners[0].routes if route.prefix.startswith("/edge/")
    }
    assert set(routes) == {"/edge/edge-a/", "/edge/edge-b/"}
    assert {route.retries for route in routes.values()} == {0}, "the player chooses the edge"
    assert updater.edge_origins() == ("http://10.0.0.7:1", "https://films.example")


async def test_failing_queries_keep_their_last_result() -> None:
    world = FakeWorld()
    updater = world.updater()
    world.failing = {"keys"}
    assert not await updater.update()
    assert world.configs == []
    world.failing = set()
    await updater.update()
    world.failing = {"keys", "edges"}
    assert await updater.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001], [9101])
    assert len(world.configs) == 1


async def test_updates_continue_after_a_failure() -> None:
    tries = 0

    class FullDisk(FakeWorld):
        async def apply(self, config: ProxyConfig) -> bool:
            nonlocal tries
            tries += 1
            raise OSError(28, "No space left on device")

    running = asyncio.create_task(FullDisk().updater().run())
    await eventually(lambda: tries >= 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_endpoint_is_parsed_from_a_url() -> None:
    assert Endpoint.from_url("http://[::1]:80") == Endpoint("::1", 80)
    assert Endpoint.from_url("https://edge.local") == Endpoint("edge.local", 443)
    for nonsense in ("", "edge", "http://"):
        with pytest.raises(ValueError, match="no host"):
            Endpoint.from_url(nonsense)


def test_only_expected_routes_need_no_token() -> None:
    open_routes = {route.prefix or route.path or route.pattern for route in ROUTES if not route.needs_token}
    api = {path for path in open_routes if path.startswith("/api/")}
    assert api == {
        "/api/v1/auth/",
        "/api/v1/licences/clearkey/",
        "/api/v1/licences/hls/",
        "/api/v1/playback/[^/]+/manifest/.+",
        "/api/v1/playback/[^/]+/beacon/[^/]+",
    }
    retried = [route for route in ROUTES if route.retry_if != "unsent"]
    assert all(route.methods for route in retried), "only safe methods are retried after they were sent"


def test_bodies_are_not_waited_for_without_limit() -> None:
    unlimited = [route.prefix for route in ROUTES if not (route.hidden or route.methods or route.stream_ms)]
    assert unlimited == ["/api/v1/operator/uploads"], "only these have a rate instead"


async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    world = FakeWorld()
    folder = tmp_path / "envoy"
    updater = world.updater()
    await updater.update()
    assert await EnvoyProxy(folder).apply(world.configs[0])
    assert folder.stat().st_mode & 0o777 == 0o700
    files = sorted(path.name for path in folder.iterdir())
    assert files == [
        "bootstrap.json",
        "clusters.json",
        "endpoints-edges.json",
        "endpoints-gateways.json",
        "listeners.json",
        "routes-front.json",
    ]
    admin = msgspec.json.decode((folder / "bootstrap.json").read_bytes())["admin"]["address"]["pipe"]
    assert admin["mode"] == 0o600
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        msgspec.json.decode(path.read_bytes())
    assert envoy.read_admin_socket(folder) == ""
    assert str(folder / "bootstrap.json") in envoy.build_command(folder)


def test_admin_socket_has_a_short_path_in_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert envoy.choose_admin_socket(Path("/d")) == Path("/d/admin.sock")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    socket = envoy.choose_admin_socket(tmp_path / ("x" * 120))
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert socket != envoy.choose_admin_socket(tmp_path / ("y" * 120))
    socket.parent.chmod(0o777)
    with pytest.raises(envoy.EnvoyMissing, match="another user"):
        envoy.choose_admin_socket(tmp_path / ("x" * 120))
