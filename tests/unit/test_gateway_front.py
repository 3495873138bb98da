"""Following who is there, and the front that comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
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
from matinee.kit.ids import EdgeId
from matinee.kit.problem import Unreachable
from matinee.steering.api import Edge, EdgeReport, Health

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = PublicKeys(keys=[PublicKey(kid="k", x="x", y="y")])


class World:
    """What there is to be seen; `away` names what cannot be looked up just now."""

    def __init__(self) -> None:
        self.urls: list[str] = ["http://127.0.0.1:9001"]
        self.there: list[tuple[str, Health]] = [("http://127.0.0.1:9101", "healthy")]
        self.away: set[str] = set()
        self.fronts: list[ProxyConfig] = []

    async def gateways(self) -> Sequence[str]:
        return self._seen("gateways", self.urls)

    async def public_keys(self) -> PublicKeys:
        keys: PublicKeys = self._seen("keys", KEYS)
        return keys

    async def list_edges(self) -> list[Edge]:
        return [
            Edge(report=EdgeReport(edge_id=EdgeId(url), name=url, base_url=url), health=health, last_seen_at=NOW)
            for url, health in self._seen("edges", self.there)
        ]

    async def apply(self, front: ProxyConfig) -> bool:
        if self.fronts and self.fronts[-1] == front:
            return False
        self.fronts.append(front)
        return True

    def _seen(self, what: str, answer: Any) -> Any:
        if what in self.away:
            raise Unreachable(service=what)
        return answer

    def follower(self) -> ProxyUpdater:
        whole: Any = self
        return ProxyUpdater(
            proxy=self,
            settings=lambda: ProxySettings(port=8080),
            gateways=self.gateways,
            identity=whole,
            steering=whole,
        )

    def endpoints(self, cluster: str) -> list[int]:
        return [one.port for made in self.fronts[-1].clusters if made.name == cluster for one in made.endpoints]


async def test_instances_and_edges_are_followed() -> None:
    world = World()
    follower = world.follower()
    assert await follower.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001], [9101])
    world.urls = ["http://127.0.0.1:9002", "http://127.0.0.1:9001", "http://127.0.0.1:9002", ""]
    world.there = [("http://127.0.0.1:9101", "gone"), ("https://10.0.0.7:8090/", "draining")]
    await follower.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001, 9002], [8090])
    await follower.update()
    assert len(world.fronts) == 2


async def test_what_is_away_stays_as_it_was() -> None:
    world = World()
    follower = world.follower()
    world.away = {"keys"}
    assert not await follower.update()
    assert world.fronts == []
    world.away = set()
    await follower.update()
    world.away = {"keys", "edges", "gateways"}
    assert await follower.update()
    assert (world.endpoints(GATEWAYS), world.endpoints(EDGES)) == ([9001], [9101])
    assert len(world.fronts) == 1


async def test_it_goes_on_when_the_proxy_cannot_be_told() -> None:
    tries = 0

    class Full(World):
        async def apply(self, front: ProxyConfig) -> bool:
            nonlocal tries
            tries += 1
            raise OSError(28, "No space left on device")

    running = asyncio.create_task(Full().follower().run())
    await eventually(lambda: tries >= 2)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_endpoints_of_urls() -> None:
    assert Endpoint.of("http://[::1]:80") == Endpoint("::1", 80)
    assert Endpoint.of("https://edge.local") == Endpoint("edge.local", 443)
    for nonsense in ("", "edge", "http://"):
        with pytest.raises(ValueError, match="no host"):
            Endpoint.of(nonsense)


def test_every_open_route_is_one_that_must_be() -> None:
    unasked = {route.prefix or route.path or route.pattern for route in ROUTES if not route.signed_in}
    api = {path for path in unasked if path.startswith("/api/")}
    assert api == {
        "/api/v1/auth/",
        "/api/v1/licences/hls/",
        "/api/v1/playback/[^/]+/manifest/.+",
        "/api/v1/playback/[^/]+/beacon/[^/]+",
    }
    repeated = [route for route in ROUTES if route.retrying != "unsent"]
    assert all(route.methods for route in repeated), "only what is safe to repeat is repeated after it was sent"


async def test_the_files_are_nobody_elses(tmp_path: Path) -> None:
    world = World()
    folder = tmp_path / "envoy"
    follower = world.follower()
    await follower.update()
    assert await EnvoyProxy(folder).apply(world.fronts[0])
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
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        msgspec.json.decode(path.read_bytes())
    assert envoy.read_admin_address(folder) == ""
    assert str(folder / "bootstrap.json") in envoy.build_command(folder)
