"""The registration of the gateway: a target that serves the public API instead of a Protocol."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Encoding
from matinee.identity.api import Identity
from matinee.kit.bounds import Bytes, Count, Port, Rate
from matinee.kit.clock import Clock
from matinee.kit.hashing import sha256_hex
from matinee.licensing.api import Licensing
from matinee.mesh.hosting import addresses
from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.mesh.hosting.settings import BadSettings, Deployment
from matinee.playback.api import Playback
from matinee.search.api import Search
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing

if TYPE_CHECKING:
    from matinee.drivers.asgi import App
    from matinee.gateway.model.proxy import ProxySettings
    from matinee.gateway.ports import UploadStore


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True):
    """The public API and the web client. `port` is Envoy's; `web` is the built web client, empty for the one included.

    `uploads`: where uploads wait: a folder or, for gateways on several machines, a prefix of `objects.store` in S3.
    `concurrency`: so many requests may be in progress in one process; heartbeats are refused at half of it, other
    requests at three quarters, and what a film needs to play at all of it.
    `hosts`: further names, separated by commas, by which viewers reach Matinee; requests for others are refused.
    `trusted_proxies`: networks and addresses, separated by commas, of the reverse proxies in front of Matinee, whose
    `X-Forwarded-For` is believed.
    """

    port: Port = 8080
    trust_port: Port = 8081
    web: str = ""
    uploads: str = "{data}/uploads"
    upload_limit_bytes: Bytes = 200 << 30
    requests_per_minute: Rate = 1200
    sign_ins_per_minute: Rate = 30
    concurrency: Count = 256
    hosts: str = ""
    trusted_proxies: str = ""

    def __post_init__(self) -> None:
        _ = self.trusted_networks

    @property
    def trusted_networks(self) -> tuple[str, ...]:
        """The networks of reverse proxies, as `address/length`. Raises BadSettings for what is none."""
        try:
            return tuple(str(ipaddress.ip_network(network)) for network in _split(self.trusted_proxies))
        except ValueError as error:
            raise BadSettings(detail=f"gateway.trusted_proxies: {error}.") from error


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def envoy_folder(deployment: Deployment) -> Path:
    """Return the folder of Envoy's configuration."""
    return deployment.folder / "envoy"


async def _build(wiring: Wiring[GatewaySection]) -> App:
    """Build the ASGI application of the public API and the web client."""
    from matinee.drivers.jwt import Verifier
    from matinee.gateway.adapters.envoy import EnvoyProxy
    from matinee.gateway.adapters.registry import RegistryInstances
    from matinee.gateway.jobs import ProxyUpdater, expire_uploads
    from matinee.gateway.server import AppState, ServerSettings, build
    from matinee.gateway.service import Intake, LastHomes, Screens, warm_up
    from matinee.identity.api import parse_principal

    section, deployment, clock = wiring.settings, wiring.deployment, wiring.clock
    telemetry = wiring.runtime.settings.telemetry
    identity, steering = wiring.client(Identity), wiring.client(Steering)
    catalogue, viewing, encoding = wiring.client(Catalogue), wiring.client(Viewing), wiring.client(Encoding)
    search, territory = wiring.client(Search), deployment.territory
    # The process enters the registry, from which Envoy learns of it, only after this.
    await warm_up(identity=identity, catalogue=catalogue, viewing=viewing, territory=territory)
    uploads = await _open_uploads(wiring)
    proxy_secret = wiring.runtime.secret("envoy-proxy.key").hex()
    updater = ProxyUpdater(
        proxy=EnvoyProxy(envoy_folder(deployment)),
        settings=lambda: _build_proxy_settings(section, deployment, clock, proxy_secret),
        gateways=lambda: wiring.runtime.list_instances("gateway"),
        identity=identity,
        steering=steering,
    )
    wiring.add_job(updater.run)
    wiring.add_schedule("@every 10m", expire_uploads, uploads=uploads, clock=clock)
    state = AppState(
        identity=identity,
        catalogue=catalogue,
        playback=wiring.client(Playback),
        licensing=wiring.client(Licensing),
        encoding=encoding,
        steering=steering,
        viewing=viewing,
        search=search,
        screens=Screens(
            identity=identity,
            catalogue=catalogue,
            viewing=viewing,
            search=search,
            last_homes=LastHomes(await wiring.cache()),
            clock=clock,
            territory=territory,
        ),
        intake=Intake(uploads=uploads, catalogue=catalogue, encoding=encoding),
        uploads=uploads,
        instances=RegistryInstances(wiring.runtime.directory, clock),
        clock=clock,
        settings=ServerSettings(
            web_root=find_web_client(section),
            territory=territory,
            proxy_secret=proxy_secret,
            upload_limit_bytes=section.upload_limit_bytes,
            concurrency=section.concurrency,
            slow_ms=telemetry.slow_ms,
            honour_sampled=telemetry.honour_sampled,
            cookie=f"matinee_refresh_{sha256_hex(proxy_secret.encode())[:8]}",
            **_build_address_settings(section, deployment),
            **_build_lan_settings(section, deployment, clock),
        ),
        edge_origins=updater.edge_origins,
    )
    verifier = Verifier(fetch_keys=identity.public_keys, parse_claims=parse_principal, clock=clock)
    return build(state, verifier=verifier, metrics=wiring.metrics, tracer=wiring.runtime.tracer)


def find_web_client(section: GatewaySection) -> Path:
    """Return the folder of the web client: by the setting, of the wheel, or in a checkout the one that was built there.

    Raises BadSettings where it is not there.
    """
    packaged = Path(__file__).resolve().parent / "web"
    included = packaged if packaged.exists() else Path(__file__).resolve().parents[3] / "web" / "dist"
    root = Path(section.web).absolute() if section.web else included
    if not (root / "index.html").is_file():
        remedy = "Correct gateway.web" if section.web else "Build it with `make setup`"
        raise BadSettings(detail=f"There is no web client: {root / 'index.html'} is missing. {remedy}.")
    return root


async def _open_uploads(wiring: Wiring[GatewaySection]) -> UploadStore:
    place = wiring.settings.uploads
    if wiring.scheme("uploads") == "s3":
        from matinee.gateway.adapters.s3 import S3UploadStore

        return await wiring.stack.enter_async_context(S3UploadStore.open(place, store=wiring.objects.store))
    from matinee.gateway.adapters.disk import DiskUploadStore

    return DiskUploadStore(Path(place))


def _build_address_settings(section: GatewaySection, deployment: Deployment) -> dict[str, Any]:
    """Return what depends on the URL that viewers open, and on the names by which they reach this deployment."""
    public = urlsplit(addresses.front_url(deployment, section.port))
    own = [socket.gethostname(), f"{socket.gethostname()}.local"] if deployment.lan else []
    names = [public.hostname or "", addresses.public_host(deployment), *own, *_split(section.hosts)]
    is_public_tls = public.scheme == "https" and not deployment.lan
    return {
        "secure": public.scheme == "https",
        "origins": (f"{public.scheme}://{public.netloc}".lower(),),
        "hosts": frozenset(name.lower() for name in names),
        # Not with the local authority: the page that explains it is on a port without TLS of the same name.
        "strict_host": public.hostname or "" if is_public_tls else "",
    }


def _build_lan_settings(section: GatewaySection, deployment: Deployment, clock: Clock) -> dict[str, Any]:
    """Return what the trust page contains where the network has access."""
    if not deployment.lan:
        return {}
    authority = addresses.open_authority(deployment, clock)
    return {
        "authority_der": authority.certificate_der,
        "authority_fingerprint": authority.fingerprint,
        "front_url": addresses.front_url(deployment, section.port),
    }


def _build_proxy_settings(section: GatewaySection, deployment: Deployment, clock: Clock, secret: str) -> ProxySettings:
    from matinee.gateway.model.proxy import Certificate, ProxySettings

    certificate = None
    if deployment.lan:
        own = addresses.issue_certificate(deployment, clock)
        certificate = Certificate(name="gateway", chain=own.chain, private_key=own.private_key)
    return ProxySettings(
        host=addresses.listen_host(deployment),
        port=section.port,
        trusted=section.trusted_networks,
        trust_port=section.trust_port if deployment.lan else 0,
        requests_per_minute=section.requests_per_minute,
        sign_ins_per_minute=section.sign_ins_per_minute,
        certificate=certificate,
        pinned=certificate.chain if certificate else "",
        secret=secret,
    )


DOMAIN = Domain(
    name="gateway",
    section=GatewaySection,
    needs=(Identity, Catalogue, Licensing, Viewing, Steering, Encoding, Playback, Search),
    build=_build,
)
