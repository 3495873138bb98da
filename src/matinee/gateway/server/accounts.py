"""Handlers of accounts: the viewer's own, and those of others for an operator."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from litestar import Controller, Response, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from matinee.gateway.api import (
    AccountScreen,
    AccountWithPassword,
    EndedSignIns,
    GivenPassword,
    NewAccount,
)
from matinee.gateway.api.export import PersonalData, export_account
from matinee.gateway.server.auth import respond_signed_out
from matinee.gateway.server.guards import BEARER, get_actor, require_adult, require_operator, require_proof
from matinee.gateway.server.profiles import to_profile_view
from matinee.gateway.server.state import HttpRequest, get_principal, get_state
from matinee.identity.api import Account, AuditEntry
from matinee.kit.ids import AccountId
from matinee.kit.page import Page
from matinee.kit.structs import build_from

_GENERATED_BYTES = 12


class AccountController(Controller):
    """The account of the viewer."""

    path = "/account"
    tags = ("account",)
    guards = (require_adult,)
    security = BEARER

    @get()
    async def get_account(self, request: HttpRequest) -> Account:
        """Return the account."""
        return await get_state(request).identity.account(account_id=get_principal().account_id)

    @get("/export", guards=[require_proof])
    async def export_account(self, request: HttpRequest) -> Response[PersonalData]:
        """Return what is stored of the account's people, as a file; needs a proof."""
        return await _export(request, get_principal().account_id)

    @delete(guards=[require_proof])
    async def close_account(self, request: HttpRequest) -> Response[None]:
        """Close the account and erase it; needs a proof."""
        state, account_id = get_state(request), get_principal().account_id
        await state.identity.close_account(by=get_actor(request), account_id=account_id)
        return respond_signed_out(state)


class OperatorAccountController(Controller):
    """The accounts of a deployment, the audit log, and the keys that sign access tokens."""

    tags = ("operator",)
    guards = (require_operator,)
    security = BEARER

    @get("/operator/accounts")
    async def list_accounts(
        self,
        request: HttpRequest,
        text: Annotated[str, QueryParameter(name="query")] = "",  # `query` itself is a reserved name
        cursor: FromQuery[str | None] = None,
    ) -> Page[Account]:
        """List the accounts whose e-mail address contains a text, newest first."""
        return await get_state(request).identity.list_accounts(query=text, cursor=cursor)

    @post("/operator/accounts", guards=[require_proof])
    async def create_account(self, request: HttpRequest, data: JSONBody[NewAccount]) -> AccountWithPassword:
        """Open an account; needs a proof."""
        password, generated = _choose_password(data.password)
        account = await get_state(request).identity.create_account(
            by=get_actor(request),
            email=data.email,
            password=password,
            name=data.name,
            language=data.language,
            roles=tuple(data.roles),
        )
        return AccountWithPassword(account=account, password=generated)

    @get("/operator/accounts/{account_id:str}")
    async def show_account(self, request: HttpRequest, account_id: FromPath[AccountId]) -> AccountScreen:
        """Return an account, its profiles and its devices."""
        found = await get_state(request).identity.describe_account(account_id=account_id)
        return build_from(found, AccountScreen, profiles=[to_profile_view(profile) for profile in found.profiles])

    @put("/operator/accounts/{account_id:str}/password", guards=[require_proof])
    async def reset_password(
        self, request: HttpRequest, account_id: FromPath[AccountId], data: JSONBody[GivenPassword]
    ) -> AccountWithPassword:
        """Set a new password and end every sign-in of the account; needs a proof."""
        password, generated = _choose_password(data.password)
        account = await get_state(request).identity.reset_password(
            by=get_actor(request), account_id=account_id, password=password
        )
        return AccountWithPassword(account=account, password=generated)

    @put("/operator/accounts/{account_id:str}/roles/{role:str}", guards=[require_proof])
    async def grant_role(
        self, request: HttpRequest, account_id: FromPath[AccountId], role: FromPath[Literal["operator"]]
    ) -> Account:
        """Give the account a role; needs a proof."""
        return await get_state(request).identity.grant_role(by=get_actor(request), account_id=account_id, role=role)

    @delete("/operator/accounts/{account_id:str}/roles/{role:str}", status_code=200, guards=[require_proof])
    async def revoke_role(
        self, request: HttpRequest, account_id: FromPath[AccountId], role: FromPath[Literal["operator"]]
    ) -> Account:
        """Take a role from the account, at once; needs a proof."""
        return await get_state(request).identity.revoke_role(by=get_actor(request), account_id=account_id, role=role)

    @delete("/operator/accounts/{account_id:str}/sign-ins", status_code=200, guards=[require_proof])
    async def end_sign_ins(self, request: HttpRequest, account_id: FromPath[AccountId]) -> EndedSignIns:
        """End every sign-in of the account; needs a proof."""
        ended = await get_state(request).identity.end_sign_ins(by=get_actor(request), account_id=account_id)
        return EndedSignIns(ended=ended)

    @get("/operator/accounts/{account_id:str}/export", guards=[require_proof])
    async def export_other_account(
        self, request: HttpRequest, account_id: FromPath[AccountId]
    ) -> Response[PersonalData]:
        """Return what is stored of the account's people, as a file; needs a proof."""
        return await _export(request, account_id)

    @delete("/operator/accounts/{account_id:str}", guards=[require_proof])
    async def close_other_account(self, request: HttpRequest, account_id: FromPath[AccountId]) -> None:
        """Close the account and erase it; needs a proof."""
        await get_state(request).identity.close_account(by=get_actor(request), account_id=account_id)

    @get("/operator/audit")
    async def list_audit_log(
        self,
        request: HttpRequest,
        account_id: FromQuery[AccountId | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Page[AuditEntry]:
        """List the audit log, newest first: all, or what concerns an account."""
        return await get_state(request).identity.audit_log(account_id=account_id, cursor=cursor)

    @post("/operator/keys/rotate", status_code=204, guards=[require_proof])
    async def rotate_keys(self, request: HttpRequest) -> None:
        """Add a key that signs access tokens some minutes from now; needs a proof."""
        await get_state(request).identity.rotate_keys(by=get_actor(request))


async def _export(request: HttpRequest, account_id: AccountId) -> Response[PersonalData]:
    state = get_state(request)
    data = await export_account(
        identity=state.identity,
        viewing=state.viewing,
        clock=state.clock,
        by=get_actor(request),
        account_id=account_id,
    )
    headers = {"Content-Disposition": 'attachment; filename="matinee-account.json"'}
    return Response(data, headers=headers)


def _choose_password(given: str | None) -> tuple[str, str | None]:
    """Return the password, and again if it was generated."""
    generated = None if given else secrets.token_urlsafe(_GENERATED_BYTES)
    return given or generated or "", generated
