"""Signing up, in and out. A browser's refresh token lives in a cookie that no script can read."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from litestar import Request, Response, post
from litestar.datastructures import Cookie

from matinee.gateway.api import Refresh, Session, SignIn, SignUp
from matinee.gateway.api.problems import ForeignOrigin
from matinee.gateway.server.state import AppState, get_state, principal
from matinee.identity.api import Grant, TokenRejected
from matinee.kit import context

COOKIE = "matinee_refresh"
COOKIE_PATH = "/api/v1/auth"


@post("/auth/sign-up", status_code=200)
async def sign_up(request: Request[Any, Any, Any], data: SignUp) -> Response[Session]:
    """Open an account with its first profile and sign in."""
    deployment = get_state(request)
    _check_origin(request, deployment)
    grant = await deployment.identity.sign_up(
        email=data.email, password=data.password, name=data.name, language=data.language, device=data.device
    )
    return _answer(deployment, grant, browser=data.device.kind == "browser")


@post("/auth/sign-in", status_code=200)
async def sign_in(request: Request[Any, Any, Any], data: SignIn) -> Response[Session]:
    """Sign in."""
    deployment = get_state(request)
    _check_origin(request, deployment)
    grant = await deployment.identity.sign_in(email=data.email, password=data.password, device=data.device)
    return _answer(deployment, grant, browser=data.device.kind == "browser")


@post("/auth/refresh", status_code=200)
async def refresh(request: Request[Any, Any, Any], data: Refresh | None = None) -> Response[Session]:
    """New tokens for a refresh token: a browser's cookie, or any other device's body."""
    deployment = get_state(request)
    if data is not None and data.refresh_token:
        return _answer(deployment, await deployment.identity.refresh(refresh_token=data.refresh_token), browser=False)
    grant = await deployment.identity.refresh(refresh_token=_cookie(request, deployment))
    return _answer(deployment, grant, browser=True)


@post("/auth/sign-out", status_code=204)
async def sign_out(request: Request[Any, Any, Any]) -> Response[None]:
    """End this sign-in: the bearer's, or the cookie's where the access token has run out."""
    deployment = get_state(request)
    asking = context.current().principal
    if asking is None:
        sign_in_id = (await deployment.identity.refresh(refresh_token=_cookie(request, deployment))).sign_in_id
    else:
        sign_in_id = asking.sign_in_id
    await deployment.identity.sign_out(sign_in_id=sign_in_id)
    return Response(content=None, status_code=204, cookies=[_set_cookie(deployment, "", max_age_s=0)])


@post("/auth/sign-out-everywhere", status_code=204)
async def sign_out_everywhere(request: Request[Any, Any, Any]) -> Response[None]:
    """End every sign-in of the account."""
    deployment = get_state(request)
    await deployment.identity.sign_out_everywhere(account_id=principal().account_id)
    return Response(content=None, status_code=204, cookies=[_set_cookie(deployment, "", max_age_s=0)])


def session(grant: Grant, *, with_refresh: bool) -> Session:
    """What a device is told of its tokens."""
    return Session(
        access_token=grant.access_token,
        expires_in_s=grant.expires_in_s,
        account_id=grant.account_id,
        device_id=grant.device_id,
        profile_id=grant.profile_id,
        roles=grant.roles,
        refresh_token=grant.refresh_token or None if with_refresh else None,
    )


def _answer(deployment: AppState, grant: Grant, *, browser: bool) -> Response[Session]:
    cookies = []
    if browser and grant.refresh_token:
        cookies.append(_set_cookie(deployment, grant.refresh_token, max_age_s=grant.refresh_expires_in_s))
    return Response(session(grant, with_refresh=not browser), status_code=200, cookies=cookies)


def _set_cookie(deployment: AppState, value: str, *, max_age_s: int) -> Cookie:
    strict: Literal["strict"] = "strict"
    return Cookie(
        key=COOKIE,
        value=value,
        path=COOKIE_PATH,
        httponly=True,
        secure=deployment.settings.secure,
        samesite=strict,
        max_age=max_age_s,
    )


def _cookie(request: Request[Any, Any, Any], deployment: AppState) -> str:
    token = request.cookies.get(COOKIE)
    if not token:
        raise TokenRejected
    if "origin" not in request.headers:
        raise ForeignOrigin(detail="A refresh token in a cookie is taken only from a page of this site.")
    _check_origin(request, deployment)
    return token


def _check_origin(request: Request[Any, Any, Any], deployment: AppState) -> None:
    """A browser names the page's origin on every POST; only our own may use these addresses."""
    origin = request.headers.get("origin")
    if origin is None or origin in deployment.settings.origins:
        return
    if urlsplit(origin).netloc != request.headers.get("host"):
        raise ForeignOrigin
