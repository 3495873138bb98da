"""What stands in front of the gateway, as data: listeners, routes and clusters, whatever proxy renders them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from matinee.identity.api import PublicKeys

API = "/api/v1"
GATEWAYS = "gateways"
EDGES = "edges"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
KIB = 1 << 10

# `unsent`: only what certainly never reached the other side; `lost`: also a connection that broke before an
# answer; `failed`: also an answer that says the other side is broken.
Retrying: TypeAlias = Literal["unsent", "lost", "failed"]


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """An instance's address."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """The endpoint in `http://host:port`. Raises ValueError."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"no host in {url!r}")
        return cls(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of one kind. One that fails `eject_after` times in a row gets no requests for a while.

    `pinned` holds the certificates (PEM) of instances that speak TLS: these and no others are theirs.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    health_path: str
    health_every_ms: int = 1000
    eject_after: int = 5
    eject_ms: int = 5000
    connect_ms: int = 500
    pinned: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to a prefix, to exactly `path`, or to all of a `pattern` (RE2); `refused` ones find nothing there.

    `timeout_ms` 0 and `body_limit_bytes` 0 mean: no limit. `rewrite` takes the place of the prefix.
    """

    cluster: str
    prefix: str = ""
    path: str = ""
    pattern: str = ""
    methods: tuple[str, ...] = ()
    signed_in: bool = False
    timeout_ms: int = 15_000
    idle_ms: int = 60_000
    retries: int = 2
    retrying: Retrying = "unsent"
    body_limit_bytes: int = 256 * KIB
    rewrite: str = ""
    refused: bool = False


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `per_minute` requests below a prefix, `burst` of them at once, for each address or signed-in account."""

    name: str
    prefix: str
    per_minute: int
    burst: int
    by: Literal["address", "subject"]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate chain and its key, in PEM."""

    name: str
    chain: str
    private_key: str


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port, and what is served on it."""

    name: str
    host: str
    port: int
    routes: tuple[Route, ...]
    limits: tuple[Limit, ...] = ()
    certificate: Certificate | None = None


class TokenRule(msgspec.Struct, frozen=True, kw_only=True):
    """How access tokens are checked at the door."""

    keys: PublicKeys
    issuer: str = "matinee"
    audience: str = "matinee"


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in front. `secret` goes with every request, so that the gateway knows who passed it on."""

    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]
    tokens: TokenRule
    secret: str = ""


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided by settings: addresses, limits, certificates. `trust_port` 0 means there is no trust page."""

    host: str = "127.0.0.1"
    port: int
    trust_port: int = 0
    requests_per_minute: int = 1200
    sign_ins_per_minute: int = 30
    certificate: Certificate | None = None
    pinned: str = ""
    secret: str = ""


def build_proxy_config(
    settings: ProxySettings, *, gateways: Sequence[Endpoint], edges: Sequence[Endpoint], keys: PublicKeys
) -> ProxyConfig:
    """Matinee's own front: the API, the web client and the pictures on one address."""
    main = Listener(
        name="front",
        host=settings.host,
        port=settings.port,
        routes=ROUTES,
        limits=_limits(settings),
        certificate=settings.certificate,
    )
    trust = Listener(name="trust", host=settings.host, port=settings.trust_port, routes=TRUST_ROUTES)
    return ProxyConfig(
        listeners=(main, trust) if settings.trust_port else (main,),
        clusters=(
            Cluster(name=GATEWAYS, endpoints=tuple(sorted(set(gateways))), health_path="/readyz"),
            Cluster(name=EDGES, endpoints=tuple(sorted(set(edges))), health_path="/healthz", pinned=settings.pinned),
        ),
        tokens=TokenRule(keys=keys),
        secret=settings.secret,
    )


def _limits(settings: ProxySettings) -> tuple[Limit, ...]:
    return (
        Limit(
            name="sign-in",
            prefix=f"{API}/auth/sign-",
            per_minute=settings.sign_ins_per_minute,
            burst=settings.sign_ins_per_minute,
            by="address",
        ),
        # A household, a campus or a carrier may stand behind one address.
        Limit(
            name="address",
            prefix="/api/",
            per_minute=settings.requests_per_minute * 10,
            burst=settings.requests_per_minute * 4,
            by="address",
        ),
        Limit(
            name="subject",
            prefix="/api/",
            per_minute=settings.requests_per_minute,
            burst=max(settings.requests_per_minute // 3, 20),
            by="subject",
        ),
    )


_UPLOADS = f"{API}/operator/uploads"

# The first that fits is taken.
ROUTES = (
    # Between processes, and for those who watch them.
    *(Route(cluster=GATEWAYS, path=path, refused=True) for path in ("/healthz", "/readyz", "/metrics")),
    Route(cluster=GATEWAYS, prefix="/rpc", refused=True),
    Route(cluster=EDGES, prefix="/art/", methods=SAFE_METHODS, retrying="failed", timeout_ms=10_000),
    # Signed by a token in their own path.
    Route(cluster=GATEWAYS, pattern=f"{API}/playback/[^/]+/manifest/.+", methods=SAFE_METHODS, retrying="lost"),
    Route(cluster=GATEWAYS, pattern=f"{API}/playback/[^/]+/beacon/[^/]+"),
    Route(cluster=GATEWAYS, prefix=f"{API}/licences/hls/", methods=SAFE_METHODS, retrying="lost"),
    Route(cluster=GATEWAYS, prefix=f"{API}/auth/sign-out-everywhere", signed_in=True),
    Route(cluster=GATEWAYS, prefix=f"{API}/auth/"),
    # Long, large and resumed by the client itself.
    Route(cluster=GATEWAYS, prefix=_UPLOADS, signed_in=True, timeout_ms=0, body_limit_bytes=0, retries=0),
    # Copies and probes whole films.
    Route(cluster=GATEWAYS, prefix=f"{API}/operator/ingest", signed_in=True, timeout_ms=600_000, idle_ms=600_000),
    Route(cluster=GATEWAYS, prefix=f"{API}/", methods=SAFE_METHODS, signed_in=True, retrying="lost"),
    Route(cluster=GATEWAYS, prefix=f"{API}/", signed_in=True),
    Route(cluster=GATEWAYS, prefix="/", methods=SAFE_METHODS, retrying="lost"),
    Route(cluster=GATEWAYS, prefix="/"),
)
# On plain HTTP there is the page that says how to trust this deployment, and nothing else.
TRUST_ROUTES = (
    *(
        Route(cluster=GATEWAYS, path=path, methods=SAFE_METHODS, retrying="lost")
        for path in ("/trust", "/trust/matinee.crt")
    ),
    Route(cluster=GATEWAYS, path="/", methods=SAFE_METHODS, rewrite="/trust", retrying="lost"),
)
