"""Who may use a route."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from matinee.gateway.server.client_address import client_ip
from matinee.gateway.server.state import RECORDED_ACT, AppState, get_principal, get_viewer
from matinee.identity.api import Actor
from matinee.kit.context import Principal
from matinee.kit.problem import Forbidden, Problem

BEARER = ({"bearer": list[str]()},)  # how the OpenAPI document describes an access token
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
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


async def require_proof(connection: _Connection, _handler: BaseRouteHandler) -> None:
    """Require that an adult gave the password or a PIN a short time ago. Raises ProofRequired, TokenRejected."""
    state: AppState = connection.app.state.app
    await state.identity.require_proof(principal=get_principal())


async def record_operator_act(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Write a request that changes something into the audit log, before it is handled."""
    if connection.scope.get("method") in _SAFE:
        return
    state: AppState = connection.app.state.app
    act = partial(
        state.identity.record_act,
        by=get_actor(connection),
        detail=" ".join([handler.handler_name, *map(str, connection.path_params.values())]),
    )
    await act()
    connection.state[RECORDED_ACT] = act


def get_actor(connection: _Connection) -> Actor:
    """Return who sent a request, for the audit log. Raises Unauthenticated."""
    return Actor(account_id=get_principal().account_id, client=client_ip(connection))


async def _verify(connection: _Connection) -> Principal:
    state: AppState = connection.app.state.app
    return await state.identity.verify_sign_in(principal=get_principal())
