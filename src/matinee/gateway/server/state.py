"""The settings of the HTTP server, and what its handlers use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from litestar import Request

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Encoding
from matinee.gateway.ports import Instances, UploadStore
from matinee.gateway.server.body import BodyRate
from matinee.gateway.service import Intake, Screens
from matinee.identity.api import Identity
from matinee.kit import context
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.ids import ProfileId
from matinee.kit.problem import Forbidden, Unauthenticated
from matinee.licensing.api import Licensing
from matinee.playback.api import Playback
from matinee.search.api import Search
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing

HttpRequest: TypeAlias = Request[Any, Any, Any]

# Where a request keeps the function that recorded its act in the audit log.
RECORDED_ACT = "recorded_act"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the gateway's HTTP server.

    `origins` are the origins of the web client besides the host that a request names: the public URL's, a development
    server's. `hosts` are the names by which viewers reach the deployment, besides `localhost` and addresses.
    `proxy_secret` is the header by which requests from the proxy are recognised; others are then refused.
    `strict_host` is the name for which browsers must use TLS only. `authority_der` is the certificate that
    devices are asked to trust, if any. `front_url` is the address that viewers open. `cookie` is the name of the
    refresh token's cookie: browsers do not separate the cookies of two ports. Beyond `concurrency` requests in progress
    more are refused, heartbeats at half of it.
    """

    web_root: Path
    secure: bool = False
    territory: str = "ZZ"
    origins: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    strict_host: str = ""
    cookie: str = "matinee_refresh"
    authority_der: bytes = b""
    authority_fingerprint: str = ""
    front_url: str = "/"
    proxy_secret: str = ""
    deadline_ms: int = 10_000
    concurrency: int = 256
    body_limit_bytes: int = 256 << 10
    upload_limit_bytes: int = 200 << 30
    upload_rate: BodyRate = BodyRate()
    slow_ms: int = 2_000
    honour_sampled: bool = False


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """The domains behind the gateway and its own services. `edge_origins` returns the current origins of the edges."""

    identity: Identity
    catalogue: Catalogue
    playback: Playback
    licensing: Licensing
    encoding: Encoding
    steering: Steering
    viewing: Viewing
    search: Search
    screens: Screens
    intake: Intake
    uploads: UploadStore
    instances: Instances
    clock: Clock
    settings: ServerSettings
    edge_origins: Callable[[], Sequence[str]] = tuple


def get_state(request: HttpRequest) -> AppState:
    """Return the state of the application."""
    state: AppState = request.app.state.app
    return state


def get_principal() -> Principal:
    """Return the signed-in principal. Raises Unauthenticated."""
    principal = context.current().principal
    if principal is None:
        raise Unauthenticated
    return principal


def get_viewer() -> tuple[Principal, ProfileId]:
    """Return the principal and the chosen profile. Raises Unauthenticated, Forbidden."""
    principal = get_principal()
    if principal.profile_id is None:
        raise Forbidden(detail="Choose a profile first.")
    return principal, principal.profile_id
