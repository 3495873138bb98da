"""The doors: the gateway's HTTP side, and a worker of an edge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from matinee.app import place
from matinee.app.settings import Settings
from matinee.app.targets import PROTOCOLS, needs
from matinee.app.wiring.domains import Parts
from matinee.app.wiring.fabric import EDGE_KEY, Fabric, fabric
from matinee.drivers.asgi import App
from matinee.drivers.engine import EngineState
from matinee.edge.api import EdgeSettings
from matinee.edge.ports import DataPlane, Upstream
from matinee.gateway.api import ServiceView
from matinee.gateway.model.proxy import Certificate, ProxySettings
from matinee.gateway.ports import UploadStore
from matinee.kit import ids, url
from matinee.kit.clock import Clock
from matinee.kit.ids import EdgeId, InstanceId, derive
from matinee.mesh.api import Instance
from matinee.mesh.client import bind_remote
from matinee.mesh.membership import Directory, Membership


class EdgeWords(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker of which edge a process is."""

    name: str
    port: int
    worker: int = 0


@contextlib.asynccontextmanager
async def edge(
    settings: Settings, words: EdgeWords, told: Callable[[str, tuple[EngineState, ...]], None]
) -> AsyncIterator[str]:
    """Run one worker of an edge; gives the address where its health can be asked.

    `told` is handed that address, and how the engines are, when that changes. Raises one of `drivers.engine.ENGINE_PROBLEMS`.
    """
    from matinee.edge.adapters.disk import DiskCacheStore
    from matinee.edge.adapters.evictor import DiskEvictor
    from matinee.edge.adapters.metrics import FileEdgeMetrics
    from matinee.edge.server.worker import run_worker

    async with fabric(settings) as threads:
        plan = _edge_settings(settings, words, threads.secret(EDGE_KEY), threads.clock)
        stopping = asyncio.Event()
        started = asyncio.get_running_loop().create_future()
        front = _front(settings, plan)
        # Behind nginx, which keeps what it has fetched, the reactor keeps nothing.
        kept = (plan.cache_dir, plan.cache_limit_bytes) if front is None else (plan.cache_dir / "reactor", 0)
        running = asyncio.create_task(
            run_worker(
                plan,
                store=DiskCacheStore(*kept),
                evictor=DiskEvictor(*kept),
                metrics=FileEdgeMetrics(plan.cache_dir),
                upstream=_upstream(plan, threads.clock),
                clock=threads.clock,
                steering=bind_remote(PROTOCOLS["steering"], "steering", threads.caller, caller="edge"),
                stopping=stopping,
                on_started=started.set_result,
                data_plane=front,
            )
        )
        await asyncio.wait([running, asyncio.ensure_future(started)], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        address = f"http://127.0.0.1:{started.result().admin_port}"
        health_url, engines = f"{address}/healthz", threads.engines
        member = asyncio.create_task(_membership(threads, address).run())
        watching = asyncio.create_task(engines.run(lambda: told(health_url, engines.states)))
        try:
            yield health_url
        finally:
            member.cancel()
            watching.cancel()
            stopping.set()
            await asyncio.gather(member, watching, running, return_exceptions=True)


def _front(settings: Settings, plan: EdgeSettings) -> DataPlane | None:
    match settings.edge.data_plane:
        case "reactor":
            return None
        case "nginx":
            from matinee.edge.adapters.metrics import FileEdgeMetrics
            from matinee.edge.adapters.nginx import NginxDataPlane

            return NginxDataPlane(plan, metrics=FileEdgeMetrics(plan.cache_dir))


def _membership(threads: Fabric, address: str) -> Membership:
    """An edge is called by nobody, and enters the registry all the same: who renews a lease knows when nobody can."""
    instance = Instance(
        instance_id=ids.generate(InstanceId, threads.clock.now()), address=address, services=(place.EDGE,)
    )
    return Membership(registry=threads.registry, instance=instance, clock=threads.clock)


def _edge_settings(settings: Settings, words: EdgeWords, key: bytes, clock: Clock) -> EdgeSettings:
    pem = place.leaf(settings, clock).path if settings.deployment.lan else None
    return EdgeSettings(
        edge_id=derive(EdgeId, settings.deployment.region, words.name),
        name=words.name,
        region=settings.deployment.region,
        cache_dir=Path(settings.edge.cache) / words.name,
        cache_limit_bytes=settings.edge.cache_limit_bytes,
        upstream=settings.objects.store,
        token_keys=(key,),
        host="0.0.0.0" if settings.deployment.lan else "127.0.0.1",  # noqa: S104  # --lan asks for it
        port=words.port,
        admin_port=0,
        base_url=place.edge_url(settings, words.port),
        workers=settings.edge.workers,
        tls_cert=pem,
        tls_key=pem,
    )


def _upstream(plan: EdgeSettings, clock: Clock) -> Upstream:
    match url.scheme(plan.upstream):
        case "http" | "https":
            from matinee.edge.adapters.http import HttpUpstream

            return HttpUpstream(plan.upstream, key=plan.token_keys[0], clock=clock, timeout_s=plan.upstream_timeout_s)
        case _:
            from matinee.edge.adapters.objects import ObjectStoreUpstream

            return ObjectStoreUpstream(plan.upstream, timeout_s=plan.upstream_timeout_s)


async def gateway(parts: Parts) -> App:
    """The public API and the web client as an ASGI application; Envoy's configuration follows who is there."""
    from matinee.drivers.jwt import Verifier
    from matinee.gateway.adapters.envoy import EnvoyProxy
    from matinee.gateway.jobs import ProxyUpdater, expire_uploads
    from matinee.gateway.server import ServerSettings, build
    from matinee.identity.api import principal_of

    settings, threads = parts.settings, parts.fabric
    domains = {name: parts.domain(name, by="gateway") for name in needs("gateway")}
    uploads = await _uploads(parts)
    proxy_secret = threads.secret("envoy-proxy.key").hex()
    follower = ProxyUpdater(
        proxy=EnvoyProxy(place.envoy(settings)),
        settings=lambda: _doors(settings, threads.clock, proxy_secret),
        gateways=threads.addresses("gateway"),
        identity=domains["identity"],
        steering=domains["steering"],
    )
    parts.jobs += [follower.run(), expire_uploads(uploads=uploads, clock=threads.clock)]
    return build(
        **domains,
        uploads=uploads,
        instances=DirectoryInstances(threads.directory, threads.clock),
        verifier=Verifier(fetch_keys=domains["identity"].public_keys, parse_claims=principal_of, clock=threads.clock),
        clock=threads.clock,
        metrics=parts.metrics,
        settings=ServerSettings(
            web_root=Path(settings.gateway.web),
            secure=settings.deployment.lan,
            territory=settings.deployment.territory,
            proxy_secret=proxy_secret,
            refresh_cookie_s=settings.identity.refresh_token_s,
            upload_limit_bytes=settings.gateway.upload_limit_bytes,
            **_lan(settings, threads.clock),
        ),
    )


async def _uploads(parts: Parts) -> UploadStore:
    where = parts.settings.gateway.uploads
    match url.scheme(where):
        case "s3":
            from matinee.gateway.adapters.s3 import S3UploadStore

            return await parts.stack.enter_async_context(S3UploadStore.open(where, store=parts.settings.objects.store))
        case _:
            from matinee.gateway.adapters.disk import DiskUploadStore

            return DiskUploadStore(Path(where))


def _lan(settings: Settings, clock: Clock) -> dict[str, Any]:
    """What the trust page and the content security policy say of a deployment that is open to the network."""
    if not settings.deployment.lan:
        return {}
    authority = place.authority(settings, clock)
    return {
        "authority_der": authority.certificate_der,
        "authority_fingerprint": authority.fingerprint,
        "front_url": place.front_url(settings),
        "media_sources": (f"https://{place.host(settings)}:*",),
    }


class DirectoryInstances:
    """Fulfils the gateway's `Instances` from the registry as this process last saw it."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    async def services(self) -> list[ServiceView]:
        """Every instance of every service."""
        await self._directory.refresh()
        now = self._clock.now()
        return [
            ServiceView(
                service=service,
                instance_id=instance.instance_id,
                address=instance.address,
                state="draining" if instance.draining else "serving",
                renewed_at=now,
            )
            for instance in self._directory.instances
            for service in instance.services
        ]


def _doors(settings: Settings, clock: Clock, secret: str) -> ProxySettings:
    certificate = None
    if settings.deployment.lan:
        leaf = place.leaf(settings, clock)
        certificate = Certificate(name="gateway", chain=leaf.chain, private_key=leaf.private_key)
    return ProxySettings(
        host="0.0.0.0" if settings.deployment.lan else "127.0.0.1",  # noqa: S104  # --lan asks for it
        port=settings.gateway.port,
        trust_port=settings.gateway.trust_port if settings.deployment.lan else 0,
        requests_per_minute=settings.gateway.requests_per_minute,
        sign_ins_per_minute=settings.gateway.sign_ins_per_minute,
        certificate=certificate,
        pinned=certificate.chain if certificate else "",
        secret=secret,
    )
