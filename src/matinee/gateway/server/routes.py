"""All routes, who may use them, and the application made of them."""

from __future__ import annotations

from typing import Any, cast

from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler

from matinee.catalogue.api import Catalogue
from matinee.drivers.asgi import App
from matinee.drivers.metrics import Metrics
from matinee.encoding.api import Encoding
from matinee.gateway.ports import Instances, UploadStore, Verifier
from matinee.gateway.server import auth, errors, operator, profiles, screens, trust, tus, watch, web, wellknown
from matinee.gateway.server.middleware import RequestMiddleware, refusal
from matinee.gateway.server.state import AppState, ServerSettings
from matinee.gateway.service import Intake, Screens
from matinee.identity.api import Identity
from matinee.kit import context
from matinee.kit.clock import Clock
from matinee.kit.problem import Forbidden, Problem
from matinee.licensing.api import Licensing
from matinee.playback.api import Playback
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing

BASE = "/api/v1"
_Connection = ASGIConnection[Any, Any, Any, Any]


async def signed_in(connection: _Connection, _handler: BaseRouteHandler) -> None:
    """Somebody is signed in. Raises Unauthenticated, TokenRejected."""
    if context.current().principal is None:
        raise refusal(connection.scope["state"])


async def watching(connection: _Connection, handler: BaseRouteHandler) -> None:
    """A profile is chosen. Raises Unauthenticated, TokenRejected, Forbidden."""
    await signed_in(connection, handler)
    principal = context.current().principal
    if principal is None or principal.profile_id is None:
        raise Forbidden(detail="Choose a profile first.")


async def operating(connection: _Connection, handler: BaseRouteHandler) -> None:
    """An operator asks. Raises Unauthenticated, TokenRejected, Forbidden."""
    await signed_in(connection, handler)
    principal = context.current().principal
    if principal is None or "operator" not in principal.roles:
        raise Forbidden(detail="This is for operators.")


def routes() -> list[Router]:
    """Every route of the public API, by who may use it."""
    return [
        Router(BASE, route_handlers=OPEN),
        Router(BASE, route_handlers=SIGNED_IN, guards=[signed_in]),
        Router(BASE, route_handlers=WATCHING, guards=[watching]),
        Router(BASE, route_handlers=OPERATING, guards=[operating]),
    ]


OPEN = [
    auth.sign_up,
    auth.sign_in,
    auth.refresh,
    auth.sign_out,
    watch.beacon,
    watch.manifest,
    watch.hls_key,
]
SIGNED_IN = [
    auth.sign_out_everywhere,
    profiles.ping,
    profiles.list_profiles,
    profiles.create_profile,
    profiles.update_profile,
    profiles.remove_profile,
    profiles.choose_profile,
    profiles.list_devices,
    profiles.remove_device,
]
WATCHING = [
    screens.home,
    screens.genre,
    screens.title,
    screens.history,
    screens.dismiss,
    watch.start_playback,
    watch.renew_playback,
    watch.heartbeat,
    watch.end_playback,
    watch.clearkey_licence,
]
OPERATING = [
    tus.upload_options,
    tus.create_upload,
    tus.upload_offset,
    tus.append_upload,
    tus.remove_upload,
    operator.ingest,
    operator.list_jobs,
    operator.cancel_job,
    operator.retry_job,
    operator.list_titles,
    operator.put_title,
    operator.publish_title,
    operator.withdraw_title,
    operator.list_services,
    operator.list_edges,
    operator.drain_edge,
]


def litestar(state: dict[str, Any], body_limit_bytes: int) -> Litestar:
    """The routes as an application, without the entrance."""
    return Litestar(
        route_handlers=[*routes(), *wellknown.HANDLERS, trust.trust_page, trust.authority_certificate, web.web_client],
        exception_handlers={
            Problem: errors.on_problem,
            HTTPException: errors.on_http,
            Exception: errors.on_bug,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=body_limit_bytes,
        state=State(state),
    )


def build(
    *,
    identity: Identity,
    catalogue: Catalogue,
    viewing: Viewing,
    playback: Playback,
    licensing: Licensing,
    encoding: Encoding,
    steering: Steering,
    uploads: UploadStore,
    instances: Instances,
    verifier: Verifier,
    clock: Clock,
    metrics: Metrics,
    settings: ServerSettings,
) -> App:
    """The public API, the web client and the well-known addresses, as one ASGI application."""
    parts = AppState(
        identity=identity,
        catalogue=catalogue,
        playback=playback,
        licensing=licensing,
        encoding=encoding,
        steering=steering,
        screens=Screens(
            identity=identity, catalogue=catalogue, viewing=viewing, clock=clock, territory=settings.territory
        ),
        intake=Intake(uploads=uploads, catalogue=catalogue, encoding=encoding),
        uploads=uploads,
        instances=instances,
        clock=clock,
        settings=settings,
    )
    state = {"parts": parts, "web_client": web.WebClient(settings.web_root), "metrics": metrics}
    return RequestMiddleware(
        cast("App", litestar(state, settings.body_limit_bytes)),
        verifier=verifier,
        clock=clock,
        deadline_ms=settings.deadline_ms,
        metrics=metrics,
    )
