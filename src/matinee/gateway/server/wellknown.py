"""What is outside the API: keys, health, the meaning of problems, the API's description."""

from __future__ import annotations

import asyncio
import html

from litestar import Response, get, route
from litestar.params import FromPath

from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server.state import HttpRequest, get_state
from matinee.identity.api import PublicKeys
from matinee.kit.problem import Problem


@get("/.well-known/jwks.json")
async def get_jwks(request: HttpRequest) -> Response[PublicKeys]:
    """Return the keys that verify access tokens."""
    keys = await get_state(request).identity.public_keys()
    return Response(keys, headers={"Cache-Control": "public, max-age=60"})


@get("/problems/{kind:str}", media_type="text/html")
async def get_problem_page(kind: FromPath[str]) -> str:
    """Explain a type of problem."""
    problem = Problem.kinds.get(kind)
    if problem is None:
        raise NoSuchPage
    facts = "".join(f"<li><code>{html.escape(name)}</code></li>" for name in problem.__annotations__)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(kind)}</title>'
        f"<h1>{html.escape(problem.title)}</h1><p>Status {problem.status}.</p>"
        f"{f'<ul>{facts}</ul>' if facts else ''}</html>"
    )


@get("/schema/openapi.json")
async def get_openapi_document(request: HttpRequest) -> Response[bytes]:
    """Return the public API as an OpenAPI 3.1 document."""
    # Building it takes most of a second, once.
    document = await asyncio.to_thread(request.app.state.openapi)
    return Response(document, media_type="application/json", headers={"Cache-Control": "no-cache"})


@route("/api/{path:path}", http_method=["GET", "POST", "PUT", "PATCH", "DELETE"], status_code=404)
async def refuse_unknown_path() -> None:
    """Answer an unknown path of the API."""
    raise NoSuchPage


HANDLERS = [get_jwks, get_problem_page, get_openapi_document, refuse_unknown_path]
