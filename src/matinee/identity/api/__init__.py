"""Accounts, profiles, sign-ins and devices: the public interface of identity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from matinee.identity.api.audit import COMMAND_LINE, Act, Actor, AuditEntry
from matinee.identity.api.problems import (
    AccountNotFound,
    DeviceNotFound,
    EmailTaken,
    LastOperator,
    LastProfile,
    ProfileNotFound,
    ProofRequired,
    RotatedTooSoon,
    SignUpClosed,
    TokenRejected,
    TooManyAttempts,
    TooManyProfiles,
    WrongCredentials,
    WrongPassword,
    WrongPin,
)
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.page import Page
from matinee.mesh.api import idempotent

__all__ = [
    "COMMAND_LINE",
    "NAME_LIMIT",
    "Account",
    "AccountDetails",
    "AccountExport",
    "AccountNotFound",
    "Act",
    "Actor",
    "AuditEntry",
    "Device",
    "DeviceInfo",
    "DeviceNotFound",
    "EmailTaken",
    "Grant",
    "Identity",
    "LastOperator",
    "LastProfile",
    "Profile",
    "ProfileNotFound",
    "ProofRequired",
    "PublicKey",
    "PublicKeys",
    "RotatedTooSoon",
    "SignUpClosed",
    "TokenRejected",
    "TooManyAttempts",
    "TooManyProfiles",
    "Viewer",
    "WrongCredentials",
    "WrongPassword",
    "WrongPin",
    "parse_principal",
]

# The most characters of a profile's name.
NAME_LIMIT = 40


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A household's account. `roles` may hold `operator`."""

    account_id: AccountId
    email: str
    created_at: datetime
    status: Literal["active", "closed"] = "active"
    roles: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One viewer in the household. `maturity` is the highest age rating it may see."""

    profile_id: ProfileId
    account_id: AccountId
    name: str
    avatar: str
    language: str
    maturity: int = 18
    kids: bool = False
    has_pin: bool = False


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How a device describes itself. A known `device_id` is kept, so that a browser stays the same device."""

    name: str
    kind: Literal["browser", "phone", "tablet", "tv", "other"] = "browser"
    device_id: DeviceId | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A device that has signed in."""

    device_id: DeviceId
    name: str
    kind: str
    last_seen_at: datetime
    signed_in: bool


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens (RFC 6749 §5.1). A refresh token can be used once; `refresh_token` is empty if it did not change.

    `is_adult` is false for the profile of a child, which has none of the account's roles.
    """

    access_token: str
    expires_in_s: int
    account_id: AccountId
    device_id: DeviceId
    sign_in_id: SignInId
    profile_id: ProfileId | None = None
    is_adult: bool = True
    roles: tuple[str, ...] = ()
    refresh_token: str = ""
    refresh_expires_in_s: int = 0


class AccountDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An account, its profiles and its devices."""

    account: Account
    profiles: list[Profile]
    devices: list[Device]


class AccountExport(AccountDetails, frozen=True, kw_only=True):
    """What identity stores of a person. `audit` is the part of the audit log about the account, newest first."""

    audit: list[AuditEntry]


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """The account and profile that playback checks."""

    account: Account
    profile: Profile


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key (RFC 7517) for ES256."""

    kid: str
    x: str
    y: str
    kty: str = "EC"
    crv: str = "P-256"
    alg: str = "ES256"
    use: str = "sig"


class PublicKeys(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON Web Key Set."""

    keys: list[PublicKey]


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    sub: AccountId
    device: DeviceId
    sign_in: SignInId
    profile: ProfileId | None = None
    adult: bool = False
    roles: tuple[str, ...] = ()


def parse_principal(claims: Mapping[str, Any]) -> Principal:
    """Return the principal of an access token from its verified claims. Raises ValueError if one is missing."""
    parsed = msgspec.convert(claims, _Claims)
    return Principal(
        account_id=parsed.sub,
        device_id=parsed.device,
        sign_in_id=parsed.sign_in,
        profile_id=parsed.profile,
        is_adult=parsed.adult,
        roles=parsed.roles,
    )


class Identity(Protocol):
    """Sign users in, manage their profiles and devices."""

    async def is_sign_up_open(self) -> bool:
        """Return whether strangers may open an account."""

    async def sign_up(
        self, *, email: str, password: str, name: str, language: str, device: DeviceInfo, client_ip: str = ""
    ) -> Grant:
        """Open an account with its first profile and sign in. Raises SignUpClosed, Invalid, EmailTaken."""

    async def sign_in(self, *, email: str, password: str, device: DeviceInfo, client_ip: str = "") -> Grant:
        """Sign in. Raises WrongCredentials, TooManyAttempts."""

    async def refresh(self, *, refresh_token: str, client_ip: str = "") -> Grant:
        """Exchange a refresh token for new tokens; the chosen profile is kept.

        Reuse of a token revokes the sign-in (RFC 9700 §4.14.2), except within a minute while its successor is unused:
        a second tab, or a device that did not get the answer, gets tokens too. Raises TokenRejected.
        """

    async def choose_profile(
        self, *, account_id: AccountId, sign_in_id: SignInId, profile_id: ProfileId, pin: str | None = None
    ) -> Grant:
        """Return an access token for a profile. Raises ProfileNotFound, WrongPin, TooManyAttempts, TokenRejected."""

    async def prove(
        self,
        *,
        principal: Principal,
        password: str | None = None,
        profile_id: ProfileId | None = None,
        pin: str | None = None,
        client_ip: str = "",
    ) -> None:
        """Prove by the password, or by the PIN of an adult's profile, that an adult of the household is present.

        For some minutes this sign-in may then change the household. Signing in, and choosing an adult's profile by its
        PIN, are such proofs too; choosing a child's profile ends them. Raises WrongPassword, WrongPin, ProfileNotFound,
        TooManyAttempts, TokenRejected.
        """

    @idempotent
    async def require_proof(self, *, principal: Principal) -> None:
        """Raise ProofRequired unless a proof was given a short time ago. Raises TokenRejected."""

    @idempotent
    async def verify_sign_in(self, *, principal: Principal) -> Principal:
        """Return a principal with its present roles. Raises TokenRejected when the sign-in or the account has ended."""

    @idempotent
    async def sign_out(self, *, account_id: AccountId, sign_in_id: SignInId, client_ip: str = "") -> None:
        """End one sign-in. Idempotent."""

    async def sign_out_everywhere(self, *, principal: Principal, client_ip: str = "") -> int:
        """End every sign-in of an account; return their number. Raises ProofRequired, TokenRejected."""

    @idempotent
    async def account(self, *, account_id: AccountId) -> Account:
        """Return an account. Raises Forbidden if there is none."""

    async def change_password(self, *, principal: Principal, password: str, client_ip: str = "") -> Grant:
        """Change the password, end every sign-in of the account, and sign this device in again.

        Raises ProofRequired, TokenRejected, Invalid.
        """

    @idempotent
    async def find_account(self, *, email: str) -> Account:
        """Return the account with an e-mail address. Raises AccountNotFound."""

    @idempotent
    async def list_accounts(self, *, query: str = "", cursor: str | None = None) -> Page[Account]:
        """List the accounts whose e-mail address contains `query`, newest first. Raises Invalid."""

    @idempotent
    async def describe_account(self, *, account_id: AccountId) -> AccountDetails:
        """Return an account with its profiles and devices. Raises AccountNotFound."""

    async def create_account(
        self, *, by: Actor, email: str, password: str, name: str, language: str = "en", roles: tuple[str, ...] = ()
    ) -> Account:
        """Open an account for somebody else, with its first profile. Raises Invalid, EmailTaken."""

    @idempotent
    async def grant_role(self, *, by: Actor, account_id: AccountId, role: str) -> Account:
        """Give an account a role. Idempotent. Raises AccountNotFound."""

    @idempotent
    async def revoke_role(self, *, by: Actor, account_id: AccountId, role: str) -> Account:
        """Take a role from an account. Idempotent. Raises AccountNotFound, LastOperator."""

    async def reset_password(self, *, by: Actor, account_id: AccountId, password: str) -> Account:
        """Set the password of an account and end every sign-in. Raises AccountNotFound, Invalid."""

    async def end_sign_ins(self, *, by: Actor, account_id: AccountId) -> int:
        """End every sign-in of an account; return their number. Raises AccountNotFound."""

    @idempotent
    async def export_account(self, *, by: Actor, account_id: AccountId) -> AccountExport:
        """Return what identity stores of a person. Raises AccountNotFound."""

    @idempotent
    async def close_account(self, *, by: Actor, account_id: AccountId) -> None:
        """Close an account and erase it: its sign-ins, devices and profiles, and what other domains store of them.

        An erasure that a crash interrupts is finished within minutes. Idempotent. Raises AccountNotFound, LastOperator.
        """

    async def record_act(self, *, by: Actor, detail: str, is_refused: bool = False) -> None:
        """Record an act of an operator in the audit log, before it is done; `detail` is the operation and its object.

        With `is_refused` record that it was refused after that; the detail then ends with the kind of the problem. Acts
        on accounts are recorded by their own methods.
        """

    @idempotent
    async def audit_log(self, *, account_id: AccountId | None = None, cursor: str | None = None) -> Page[AuditEntry]:
        """List the audit log, newest first: all, or what an account did and what was done to it. Raises Invalid."""

    async def rotate_keys(self, *, by: Actor, discard: bool = False) -> None:
        """Add a key that signs access tokens some minutes from now, when every process has it.

        The previous key still verifies tokens. With `discard` the new key signs at once and all others are void, for
        keys that have become known: clients then refresh their tokens. Raises RotatedTooSoon, KeyFileUnusable.
        """

    @idempotent
    async def profiles(self, *, account_id: AccountId) -> list[Profile]:
        """List the profiles of an account in the order of their creation."""

    async def create_profile(
        self,
        *,
        principal: Principal,
        name: str,
        avatar: str,
        language: str,
        maturity: int = 18,
        kids: bool = False,
        pin: str | None = None,
        client_ip: str = "",
    ) -> Profile:
        """Add a profile. Raises ProofRequired, TokenRejected, Invalid, TooManyProfiles."""

    async def update_profile(
        self,
        *,
        principal: Principal,
        profile_id: ProfileId,
        name: str | None = None,
        avatar: str | None = None,
        language: str | None = None,
        maturity: int | None = None,
        kids: bool | None = None,
        pin: str | None = None,
        client_ip: str = "",
    ) -> Profile:
        """Change the given fields; an empty `pin` removes the PIN.

        An adult may change the name, the avatar and the language of the own profile; all else needs a proof. Raises
        ProofRequired, TokenRejected, Invalid, ProfileNotFound.
        """

    @idempotent
    async def remove_profile(self, *, principal: Principal, profile_id: ProfileId, client_ip: str = "") -> None:
        """Remove a profile. Idempotent. Raises ProofRequired, TokenRejected, LastProfile."""

    @idempotent
    async def devices(self, *, account_id: AccountId) -> list[Device]:
        """List the devices of an account, the last seen first."""

    async def remove_device(self, *, principal: Principal, device_id: DeviceId, client_ip: str = "") -> None:
        """Sign a device out and remove it. Raises ProofRequired, TokenRejected, DeviceNotFound."""

    @idempotent
    async def viewer(
        self, *, account_id: AccountId, profile_id: ProfileId, sign_in_id: SignInId | None = None
    ) -> Viewer:
        """Return an account and one of its profiles, and check that a sign-in has not ended.

        Raises ProfileNotFound, Forbidden, TokenRejected.
        """

    @idempotent
    async def public_keys(self) -> PublicKeys:
        """Return the keys that verify access tokens."""
