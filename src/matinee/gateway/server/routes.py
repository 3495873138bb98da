"""All routes, who may use them, and the application made of them."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp

from matinee.gateway.server import auth, errors, operator, playback, profiles, screens, uploads, web, wellknown
from matinee.gateway.server.entrance import Entrance, refusal
from matinee.gateway.server.parts import Parts, Settings
from matinee.gateway.server.tally import Tally
from matinee.kit import context
from matinee.kit.problem import Forbidden, Problem

BASE = "/api/v1"
_Connection = ASGIConnection[Any, Any, Any, Any]


async def signed_in(connection: _Connection, _handler: BaseRouteHandler) -> None:
    """Somebody is signed in. Raises Unauthenticated, TokenRejected."""
    if context.current().principal is None:
        raise refusal(connection.scope)


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
    playback.beacon,
    playback.manifest,
    playback.hls_key,
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
    playback.start_playback,
    playback.renew_playback,
    playback.beat,
    playback.end_playback,
    playback.clearkey_licence,
]
OPERATING = [
    uploads.upload_options,
    uploads.create_upload,
    uploads.upload_offset,
    uploads.append_upload,
    uploads.remove_upload,
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
        route_handlers=[*routes(), *wellknown.HANDLERS, web.web_client],
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


def build(parts: Parts) -> ASGIApp:
    """The public API, the web client and the well-known addresses, as one ASGI application."""
    settings: Settings = parts.settings
    tally = Tally()
    state = {"parts": parts, "web_client": web.WebClient(settings.web_root), "tally": tally}
    return Entrance(
        litestar(state, settings.body_limit_bytes),
        verifier=parts.verifier,
        clock=parts.clock,
        deadline_ms=settings.deadline_ms,
        tally=tally,
    )
