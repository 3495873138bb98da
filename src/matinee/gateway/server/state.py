"""What the handlers work with, and how they reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from litestar import Request

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Encoding
from matinee.gateway.ports import Instances, UploadStore
from matinee.gateway.service import Intake, Screens
from matinee.identity.api import Identity
from matinee.kit import context
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.ids import ProfileId
from matinee.kit.problem import Forbidden, Unauthenticated
from matinee.licensing.api import Licensing
from matinee.playback.api import Playback
from matinee.steering.api import Steering


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway's HTTP side behaves.

    `origins` are further origins of the web client (a development server), `proxy_secret` is what Envoy adds to
    every request so that its word on the client's address is believed, `media_sources` are CSP sources of the edges,
    `authority_der` is the certificate that devices are asked to trust (none where empty), `front_url` the address
    that viewers open.
    """

    web_root: Path
    secure: bool = False
    territory: str = "ZZ"
    origins: tuple[str, ...] = ()
    media_sources: tuple[str, ...] = ()
    authority_der: bytes = b""
    authority_fingerprint: str = ""
    front_url: str = "/"
    proxy_secret: str = ""
    deadline_ms: int = 10_000
    body_limit_bytes: int = 256 << 10
    upload_limit_bytes: int = 200 << 30


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """The domains behind the gateway, and its own services."""

    identity: Identity
    catalogue: Catalogue
    playback: Playback
    licensing: Licensing
    encoding: Encoding
    steering: Steering
    screens: Screens
    intake: Intake
    uploads: UploadStore
    instances: Instances
    clock: Clock
    settings: ServerSettings


def get_state(request: Request[Any, Any, Any]) -> AppState:
    """The parts of the application that answers this request."""
    found: AppState = request.app.state.parts
    return found


def principal() -> Principal:
    """Who asks. Raises Unauthenticated."""
    found = context.current().principal
    if found is None:
        raise Unauthenticated
    return found


def viewer() -> tuple[Principal, ProfileId]:
    """Who asks, and the profile they chose. Raises Unauthenticated, Forbidden."""
    found = principal()
    if found.profile_id is None:
        raise Forbidden(detail="Choose a profile first.")
    return found, found.profile_id
