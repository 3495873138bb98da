"""Handlers of signing up, in and out. Browsers keep their refresh token in a cookie that scripts cannot read."""

from __future__ import annotations

import msgspec
from litestar import Controller, Response, get, post, put
from litestar.datastructures import Cookie
from litestar.params import JSONBody

from matinee.gateway.api import AuthOptions, NewPassword, Proof, Refresh, Session, SignIn, SignUp
from matinee.gateway.api.problems import ForeignOrigin
from matinee.gateway.model.proxy import API
from matinee.gateway.server.client_address import client_ip
from matinee.gateway.server.guards import BEARER, require_adult, require_sign_in
from matinee.gateway.server.state import AppState, HttpRequest, get_principal, get_state
from matinee.identity.api import DeviceInfo, Grant, TokenRejected
from matinee.kit import context
from matinee.kit.context import Principal
from matinee.kit.structs import build_from


class AuthController(Controller):
    """Signing up, in and out."""

    tags = ("auth",)

    @get("/auth/options")
    async def get_options(self, request: HttpRequest) -> AuthOptions:
        """Return how one can sign in."""
        return AuthOptions(sign_up=await get_state(request).identity.is_sign_up_open())

    @post("/auth/sign-up", status_code=200)
    async def sign_up(self, request: HttpRequest, data: JSONBody[SignUp]) -> Response[Session]:
        """Create an account with its first profile and sign in."""
        state = get_state(request)
        _check_origin(request, state)
        grant = await state.identity.sign_up(
            email=data.email,
            password=data.password,
            name=data.name,
            language=data.language,
            device=data.device,
            client_ip=client_ip(request),
        )
        return _respond(state, grant, is_browser=_is_browser(request, data.device))

    @post("/auth/sign-in", status_code=200)
    async def sign_in(self, request: HttpRequest, data: JSONBody[SignIn]) -> Response[Session]:
        """Sign in."""
        state = get_state(request)
        _check_origin(request, state)
        grant = await state.identity.sign_in(
            email=data.email, password=data.password, device=data.device, client_ip=client_ip(request)
        )
        return _respond(state, grant, is_browser=_is_browser(request, data.device))

    @post("/auth/refresh", status_code=200)
    async def refresh(self, request: HttpRequest, data: JSONBody[Refresh | None] = None) -> Response[Session]:
        """Return new tokens for a refresh token, from a browser's cookie or another device's body."""
        state = get_state(request)
        own = data.refresh_token if data is not None else None
        grant = await state.identity.refresh(
            refresh_token=own or _read_cookie(request, state), client_ip=client_ip(request)
        )
        return _respond(state, grant, is_browser=not own or _is_browser(request))

    @post("/auth/sign-out", status_code=204)
    async def sign_out(self, request: HttpRequest) -> Response[None]:
        """End this sign-in, by the access token or, if that has expired, by the cookie."""
        state = get_state(request)
        address = client_ip(request)
        signed_in: Principal | Grant | None = context.current().principal
        if signed_in is None:
            signed_in = await state.identity.refresh(refresh_token=_read_cookie(request, state), client_ip=address)
        await state.identity.sign_out(
            account_id=signed_in.account_id, sign_in_id=signed_in.sign_in_id, client_ip=address
        )
        return respond_signed_out(state)

    @post("/auth/sign-out-everywhere", status_code=204, guards=[require_adult], security=BEARER)
    async def sign_out_everywhere(self, request: HttpRequest) -> Response[None]:
        """End every sign-in of the account; needs a proof."""
        state = get_state(request)
        await state.identity.sign_out_everywhere(principal=get_principal(), client_ip=client_ip(request))
        return respond_signed_out(state)

    @post("/auth/prove", status_code=204, guards=[require_sign_in], security=BEARER)
    async def prove(self, request: HttpRequest, data: JSONBody[Proof]) -> None:
        """Give the password or an adult's PIN again, so that this sign-in may change the household for some minutes."""
        await get_state(request).identity.prove(
            principal=get_principal(), **msgspec.structs.asdict(data), client_ip=client_ip(request)
        )

    @put("/auth/password", guards=[require_adult], security=BEARER)
    async def change_password(self, request: HttpRequest, data: JSONBody[NewPassword]) -> Response[Session]:
        """Change the password; needs a proof. Every sign-in ends, and this device gets a new one."""
        state = get_state(request)
        grant = await state.identity.change_password(
            principal=get_principal(), password=data.password, client_ip=client_ip(request)
        )
        return _respond(state, grant, is_browser=_is_browser(request))


def to_session(grant: Grant, *, with_refresh_token: bool) -> Session:
    """Convert the tokens granted to a device."""
    refresh_token = grant.refresh_token or None if with_refresh_token else None
    return build_from(grant, Session, refresh_token=refresh_token)


def _is_browser(request: HttpRequest, device: DeviceInfo | None = None) -> bool:
    """Return whether the client is a page, on whatever kind of device: only browsers send an origin."""
    return "origin" in request.headers or (device is not None and device.kind == "browser")


def _respond(state: AppState, grant: Grant, *, is_browser: bool) -> Response[Session]:
    cookies = []
    if is_browser and grant.refresh_token:
        cookies.append(_build_cookie(state, grant.refresh_token, max_age_s=grant.refresh_expires_in_s))
    return Response(to_session(grant, with_refresh_token=not is_browser), status_code=200, cookies=cookies)


def respond_signed_out(state: AppState) -> Response[None]:
    """Return the answer that deletes a browser's cookie."""
    return Response(content=None, status_code=204, cookies=[_build_cookie(state, "", max_age_s=0)])


def _build_cookie(state: AppState, value: str, *, max_age_s: int) -> Cookie:
    return Cookie(
        key=state.settings.cookie,
        value=value,
        path=f"{API}/auth",
        httponly=True,
        secure=state.settings.secure,
        samesite="strict",
        max_age=max_age_s,
    )


def _read_cookie(request: HttpRequest, state: AppState) -> str:
    token = request.cookies.get(state.settings.cookie)
    if not token:
        raise TokenRejected
    if "origin" not in request.headers:
        raise ForeignOrigin(detail="A refresh token in a cookie is accepted only from a page of this site.")
    _check_origin(request, state)
    return token


def _check_origin(request: HttpRequest, state: AppState) -> None:
    """Refuse pages of other sites: browsers send the page's origin with every POST."""
    origin = request.headers.get("origin")
    if origin is None or origin in state.settings.origins:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        raise ForeignOrigin
