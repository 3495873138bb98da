"""What lies outside the API: keys, health, metrics, the meaning of problems, the API's own description."""

from __future__ import annotations

import asyncio
import html
from typing import Any

from litestar import Request, Response, get, route

from matinee.drivers.metrics import Metrics
from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server import openapi
from matinee.gateway.server.state import get_state
from matinee.identity.api import PublicKeys
from matinee.kit.problem import Overloaded, Problem

READY_S = 2.0


@get("/.well-known/jwks.json")
async def jwks(request: Request[Any, Any, Any]) -> Response[PublicKeys]:
    """The keys that access tokens are verified with."""
    keys = await get_state(request).identity.public_keys()
    return Response(keys, headers={"Cache-Control": "public, max-age=60"})


@get("/healthz", media_type="text/plain")
async def healthz() -> str:
    """Whether this process runs."""
    return "ok\n"


@get("/readyz", media_type="text/plain")
async def readyz(request: Request[Any, Any, Any]) -> str:
    """Whether this process can answer: identity, which every request leans on, does."""
    try:
        async with asyncio.timeout(READY_S):
            await get_state(request).identity.public_keys()
    except (TimeoutError, Problem) as error:
        raise Overloaded(retry_after_ms=1000, detail="Not ready yet.") from error
    return "ready\n"


@get("/metrics")
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """This process's figures, in Prometheus text form."""
    found: Metrics = request.app.state.metrics
    return Response(found.render(), media_type=found.content_type)


@get("/problems/{kind:str}", media_type="text/html")
async def problem_page(kind: str) -> str:
    """What a problem means."""
    known = Problem.kinds.get(kind)
    if known is None:
        raise NoSuchPage
    facts = "".join(f"<li><code>{html.escape(name)}</code></li>" for name in known.__annotations__)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(kind)}</title>'
        f"<h1>{html.escape(known.title)}</h1><p>Status {known.status}.</p>{f'<ul>{facts}</ul>' if facts else ''}</html>"
    )


@get("/schema/openapi.json")
async def openapi_document() -> Response[bytes]:
    """The public API as an OpenAPI 3.1 document."""
    return Response(openapi.document(), media_type="application/json", headers={"Cache-Control": "no-cache"})


@route("/api/{path:path}", http_method=["GET", "POST", "PUT", "PATCH", "DELETE"], status_code=404)
async def nothing_here() -> None:
    """An API address that is none."""
    raise NoSuchPage


HANDLERS = [jwks, healthz, readyz, metrics, problem_page, openapi_document, nothing_here]
