"""Builds the ASGI application."""

from __future__ import annotations

from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from matinee.catalogue.api import Catalogue
from matinee.drivers.asgi import App
from matinee.drivers.metrics import Metrics
from matinee.encoding.api import Encoding
from matinee.gateway.ports import Instances, TokenVerifier, UploadStore
from matinee.gateway.server import errors, trust, web, wellknown
from matinee.gateway.server.middleware import RequestMiddleware
from matinee.gateway.server.openapi import build_document
from matinee.gateway.server.routes import api_routers
from matinee.gateway.server.state import AppState, ServerSettings
from matinee.gateway.service import Intake, Screens
from matinee.identity.api import Identity
from matinee.kit.clock import Clock
from matinee.kit.problem import Problem
from matinee.kit.tracing import Tracer
from matinee.licensing.api import Licensing
from matinee.playback.api import Playback
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing


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
    verifier: TokenVerifier,
    clock: Clock,
    metrics: Metrics,
    settings: ServerSettings,
    tracer: Tracer | None = None,
) -> App:
    """Build the public API, the web client and the well-known addresses as one ASGI application."""
    screens = Screens(
        identity=identity,
        catalogue=catalogue,
        viewing=viewing,
        clock=clock,
        territory=settings.territory,
        deadline_ms=settings.screen_deadline_ms,
    )
    state = AppState(
        identity=identity,
        catalogue=catalogue,
        playback=playback,
        licensing=licensing,
        encoding=encoding,
        steering=steering,
        screens=screens,
        intake=Intake(uploads=uploads, catalogue=catalogue, encoding=encoding),
        uploads=uploads,
        instances=instances,
        clock=clock,
        settings=settings,
    )
    app = Litestar(
        route_handlers=[*api_routers(), *wellknown.HANDLERS, *trust.HANDLERS, web.serve_web_client],
        exception_handlers={
            Problem: errors.on_problem,
            HTTPException: errors.on_http_exception,
            Exception: errors.on_exception,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.body_limit_bytes,
        state=State({"app": state, "web_client": web.WebClient(settings.web_root), "openapi": build_document}),
    )
    return RequestMiddleware(
        cast("App", app),
        verifier=verifier,
        clock=clock,
        deadline_ms=settings.deadline_ms,
        metrics=metrics,
        tracer=tracer,
        slow_ms=settings.slow_ms,
        honour_sampled=settings.honour_sampled,
    )
