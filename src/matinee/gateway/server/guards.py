"""Who may use a route."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from matinee.gateway.server.state import AppState, get_principal, get_viewer
from matinee.kit.context import Principal
from matinee.kit.problem import Forbidden, Problem

BEARER = ({"bearer": list[str]()},)  # how the OpenAPI document describes an access token
_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


async def require_sign_in(connection: _Connection, _handler: BaseRouteHandler) -> None:
    """Require a valid access token. Raises Unauthenticated, TokenRejected."""
    problem: Problem | None = connection.scope["state"].get("token_problem")
    if problem is not None:
        raise problem
    get_principal()


async def require_profile(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Require a chosen profile. Raises Unauthenticated, TokenRejected, Forbidden."""
    await require_sign_in(connection, handler)
    get_viewer()


async def require_adult(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Refuse the profiles of children. Raises Unauthenticated, TokenRejected, Forbidden."""
    await require_sign_in(connection, handler)
    if not get_principal().is_adult:
        raise Forbidden(detail="This is not open to the profile of a child.")


async def require_current_sign_in(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Require a sign-in that has not ended since its token was issued. Raises Unauthenticated, TokenRejected."""
    await require_sign_in(connection, handler)
    await _verify(connection)


async def require_operator(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Require the operator role now, not only when the token was issued.

    Raises Unauthenticated, TokenRejected, Forbidden.
    """
    await require_sign_in(connection, handler)
    if "operator" not in get_principal().roles or "operator" not in (await _verify(connection)).roles:
        raise Forbidden(detail="This requires the operator role.")


async def _verify(connection: _Connection) -> Principal:
    state: AppState = connection.app.state.app
    return await state.identity.verify_sign_in(principal=get_principal())
