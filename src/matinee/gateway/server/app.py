"""Builds the ASGI application."""

from __future__ import annotations

from typing import cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from matinee.drivers.asgi import App
from matinee.drivers.metrics import Metrics
from matinee.gateway.ports import TokenVerifier
from matinee.gateway.server import errors, trust, web, wellknown
from matinee.gateway.server.body import JsonRequest
from matinee.gateway.server.compression import CompressionMiddleware
from matinee.gateway.server.middleware import RequestMiddleware
from matinee.gateway.server.open_links import OpenLinksMiddleware
from matinee.gateway.server.openapi import build_document
from matinee.gateway.server.routes import api_router
from matinee.gateway.server.state import AppState
from matinee.kit.problem import Problem
from matinee.kit.tracing import Tracer


def build(state: AppState, *, verifier: TokenVerifier, metrics: Metrics, tracer: Tracer | None = None) -> App:
    """Build the public API, the web client and the well-known addresses as one ASGI application."""
    settings = state.settings
    app = Litestar(
        route_handlers=[api_router(), *wellknown.HANDLERS, *trust.HANDLERS, web.serve_web_client],
        exception_handlers={
            Problem: errors.on_problem,
            HTTPException: errors.on_http_exception,
            Exception: errors.on_exception,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=settings.body_limit_bytes,
        request_class=JsonRequest,
        state=State({"app": state, "web_client": web.WebClient(settings.web_root), "openapi": build_document}),
    )
    return RequestMiddleware(
        OpenLinksMiddleware(CompressionMiddleware(cast("App", app))),
        settings=settings,
        verifier=verifier,
        clock=state.clock,
        metrics=metrics,
        tracer=tracer,
    )
