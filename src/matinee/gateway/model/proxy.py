"""The configuration of the proxy in front of the gateway: listeners, routes and clusters, independent of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from matinee.identity.api import PublicKeys

API = "/api/v1"
GATEWAYS = "gateways"
EDGES = "edges"
# The path below which the front passes requests on to one edge, by its name.
EDGE_PATH = "/edge/"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
KIB = 1 << 10

# When a request is retried. `unsent`: if it certainly did not reach an instance; `lost`: also if the connection broke
# before a response; `failed`: also after a response with a server error.
RetryCondition: TypeAlias = Literal["unsent", "lost", "failed"]


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """The address of an instance. `health_port` is that of its health check, 0 means `port`."""

    host: str
    port: int
    health_port: int = 0

    @classmethod
    def from_url(cls, url: str) -> Endpoint:
        """Parse `http://host:port`. Raises ValueError."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"no host in {url!r}")
        return cls(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


def to_origin(url: str) -> str:
    """Return the origin of a URL: its scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of one kind. An instance that fails `eject_after` times in a row is ejected for `eject_ms`.

    `pinned` are the certificates (PEM) of instances that use TLS; no other certificate is accepted.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    health_path: str
    health_interval_ms: int = 1000
    eject_after: int = 5
    eject_ms: int = 5000
    connect_ms: int = 500
    pinned: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to a prefix, to exactly `path`, or to a `pattern` (RE2). A `hidden` route answers 404.

    `timeout_ms` 0 and `body_limit_bytes` 0 mean no limit. `stream_ms` limits the whole exchange, the arrival of the
    body included; 0 means no limit. `rewrite` replaces the prefix.
    """

    cluster: str
    prefix: str = ""
    path: str = ""
    pattern: str = ""
    methods: tuple[str, ...] = ()
    needs_token: bool = False
    timeout_ms: int = 15_000
    stream_ms: int = 0
    idle_ms: int = 60_000
    retries: int = 2
    retry_if: RetryCondition = "unsent"
    body_limit_bytes: int = 256 * KIB
    rewrite: str = ""
    hidden: bool = False


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `per_minute` requests below some prefixes, `burst` of them at once, per address or signed-in account."""

    name: str
    prefixes: tuple[str, ...]
    per_minute: int
    burst: int
    by: Literal["address", "subject"]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate chain and its key, in PEM."""

    name: str
    chain: str
    private_key: str


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port and its routes; the first matching route is used.

    A peer in a `trusted` network is a proxy: the client's address is the last one in `X-Forwarded-For` that is in none
    of them. A connection without a request is closed after `idle_ms`, without a TLS handshake after `handshake_ms`.
    """

    name: str
    host: str
    port: int
    routes: tuple[Route, ...]
    trusted: tuple[str, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    certificate: Certificate | None = None
    # Envoy limits connections only in total (10,000), so that silent ones must not last.
    idle_ms: int = 75_000
    handshake_ms: int = 10_000


class TokenCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How the proxy verifies access tokens."""

    keys: PublicKeys
    issuer: str = "matinee"
    audience: str = "matinee"


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The complete configuration. `secret` is added to every request; by it the gateway recognises the proxy."""

    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]
    tokens: TokenCheck
    secret: str = ""


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, limits and certificates of the proxy. `trust_port` 0 means no page with the local authority.

    `trusted` are the networks of reverse proxies in front of this one.
    """

    host: str = "127.0.0.1"
    port: int
    trusted: tuple[str, ...] = ()
    trust_port: int = 0
    requests_per_minute: int = 1200
    sign_ins_per_minute: int = 30
    certificate: Certificate | None = None
    pinned: str = ""
    secret: str = ""


def build_proxy_config(
    settings: ProxySettings,
    *,
    gateways: Sequence[Endpoint],
    edges: Sequence[Endpoint],
    keys: PublicKeys,
    named_edges: Mapping[str, Sequence[Endpoint]] | None = None,
) -> ProxyConfig:
    """Build the configuration: the API, the web client, artwork and `named_edges` on one address.

    `gateways` are in the order of their start.
    """
    named = named_edges or {}
    main = Listener(
        name="front",
        host=settings.host,
        port=settings.port,
        routes=(*(_build_edge_route(name) for name in sorted(named)), *ROUTES),
        trusted=settings.trusted,
        limits=_build_rate_limits(settings),
        certificate=settings.certificate,
    )
    trust = Listener(name="trust", host=settings.host, port=settings.trust_port, routes=TRUST_ROUTES)
    return ProxyConfig(
        listeners=(main, trust) if settings.trust_port else (main,),
        clusters=(
            Cluster(name=GATEWAYS, endpoints=_keep_newest(gateways), health_path="/readyz"),
            _build_edge_cluster(EDGES, edges, settings),
            *(_build_edge_cluster(f"edge-{name}", named[name], settings) for name in sorted(named)),
        ),
        tokens=TokenCheck(keys=keys),
        secret=settings.secret,
    )


def _keep_newest(gateways: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Return one endpoint for each address: a killed instance is registered for some seconds beside its successor."""
    return tuple(sorted({(endpoint.host, endpoint.port): endpoint for endpoint in gateways}.values()))


def _build_edge_cluster(name: str, endpoints: Sequence[Endpoint], settings: ProxySettings) -> Cluster:
    return Cluster(name=name, endpoints=tuple(sorted(set(endpoints))), health_path="/healthz", pinned=settings.pinned)


def _build_edge_route(name: str) -> Route:
    """Return the route to one edge. The player chooses the edge, so that another one is never tried instead."""
    return Route(
        cluster=f"edge-{name}",
        prefix=f"{EDGE_PATH}{name}/",
        methods=SAFE_METHODS,
        rewrite="/",
        timeout_ms=0,
        retries=0,
    )


def _build_rate_limits(settings: ProxySettings) -> tuple[RateLimit, ...]:
    return (
        RateLimit(
            name="sign-in",
            prefixes=(f"{API}/auth/sign-in", f"{API}/auth/sign-up"),
            per_minute=settings.sign_ins_per_minute,
            burst=settings.sign_ins_per_minute,
            by="address",
        ),
        # Separate: guessed passwords must not prevent others at the same address from signing out.
        RateLimit(
            name="sign-out",
            prefixes=(f"{API}/auth/sign-out",),
            per_minute=settings.sign_ins_per_minute * 20,
            burst=settings.sign_ins_per_minute * 20,
            by="address",
        ),
        # Many clients may share one address.
        RateLimit(
            name="address",
            prefixes=("/api/",),
            per_minute=settings.requests_per_minute * 10,
            burst=settings.requests_per_minute * 4,
            by="address",
        ),
        RateLimit(
            name="subject",
            prefixes=("/api/",),
            per_minute=settings.requests_per_minute,
            burst=max(settings.requests_per_minute // 3, 20),
            by="subject",
        ),
    )


_UPLOADS = f"{API}/operator/uploads"
# A body that arrives slower than this is not waited for. Requests by safe methods have none: the first byte is refused.
_BODY_MS = 30_000
_INGEST_MS = 600_000

ROUTES = (
    # These are on a listener of their own; without these routes the web client would show its page there.
    *(Route(cluster=GATEWAYS, prefix=path, hidden=True) for path in ("/healthz", "/readyz", "/metrics", "/rpc")),
    Route(cluster=EDGES, prefix="/art/", methods=SAFE_METHODS, retry_if="failed", timeout_ms=10_000),
    # These have a token in their path.
    Route(cluster=GATEWAYS, pattern=f"{API}/playback/[^/]+/manifest/.+", methods=SAFE_METHODS, retry_if="lost"),
    Route(cluster=GATEWAYS, pattern=f"{API}/playback/[^/]+/beacon/[^/]+", stream_ms=_BODY_MS),
    Route(cluster=GATEWAYS, prefix=f"{API}/licences/hls/", methods=SAFE_METHODS, retry_if="lost"),
    Route(cluster=GATEWAYS, prefix=f"{API}/licences/clearkey/", stream_ms=_BODY_MS),
    Route(cluster=GATEWAYS, prefix=f"{API}/auth/sign-out-everywhere", needs_token=True, stream_ms=_BODY_MS),
    Route(cluster=GATEWAYS, prefix=f"{API}/auth/", stream_ms=_BODY_MS),
    # Long and large; the client resumes them itself.
    Route(cluster=GATEWAYS, prefix=_UPLOADS, needs_token=True, timeout_ms=0, body_limit_bytes=0, retries=0),
    # Copies and probes films.
    Route(
        cluster=GATEWAYS,
        prefix=f"{API}/operator/ingest",
        needs_token=True,
        timeout_ms=_INGEST_MS,
        idle_ms=_INGEST_MS,
        stream_ms=_INGEST_MS + _BODY_MS,
    ),
    Route(cluster=GATEWAYS, prefix=f"{API}/", methods=SAFE_METHODS, needs_token=True, retry_if="lost"),
    Route(cluster=GATEWAYS, prefix=f"{API}/", needs_token=True, stream_ms=_BODY_MS),
    Route(cluster=GATEWAYS, prefix="/", methods=SAFE_METHODS, retry_if="lost"),
    Route(cluster=GATEWAYS, prefix="/", stream_ms=_BODY_MS),
)
# Plain HTTP serves only the page about the local authority.
TRUST_ROUTES = (
    *(
        Route(cluster=GATEWAYS, path=path, methods=SAFE_METHODS, retry_if="lost")
        for path in ("/trust", "/trust/matinee.crt")
    ),
    Route(cluster=GATEWAYS, path="/", methods=SAFE_METHODS, rewrite="/trust", retry_if="lost"),
)
