"""Accounts, profiles, sign-ins and devices: the public interface of identity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent


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


class WrongCredentials(Problem, status=401):
    """The e-mail address or the password is wrong."""


class AccountNotFound(Problem, status=404):
    """There is no account with this e-mail address."""

    email: str


class EmailTaken(Problem, status=409):
    """An account with this e-mail address already exists."""


class TooManyAttempts(Problem, status=429):
    """Too many failed attempts; wait before the next one."""

    retry_after_ms: int


class TokenRejected(Problem, status=401):
    """This sign-in is no longer valid; sign in again."""


class ProfileNotFound(Problem, status=404):
    """There is no such profile in this account."""

    profile_id: ProfileId


class DeviceNotFound(Problem, status=404):
    """There is no such device in this account."""

    device_id: DeviceId


class WrongPin(Problem, status=403):
    """The PIN is wrong."""


class WrongPassword(Problem, status=403):
    """The password is wrong."""


class ProofRequired(Problem, status=403):
    """This change needs the password, or the PIN of an adult's profile, given a few minutes ago at most."""


class TooManyProfiles(Problem, status=409):
    """The account has the maximum number of profiles."""

    limit: int


class LastProfile(Problem, status=409):
    """The last profile of an account cannot be removed."""


class Identity(Protocol):
    """Sign users in, manage their profiles and devices."""

    async def sign_up(self, *, email: str, password: str, name: str, language: str, device: DeviceInfo) -> Grant:
        """Open an account with its first profile and sign in. Raises Invalid, EmailTaken."""

    async def sign_in(self, *, email: str, password: str, device: DeviceInfo, client_ip: str = "") -> Grant:
        """Sign in. Raises WrongCredentials, TooManyAttempts."""

    async def refresh(self, *, refresh_token: str) -> Grant:
        """Exchange a refresh token for new tokens; the chosen profile is kept.

        Reuse of a token after its successor was used revokes the sign-in (RFC 9700 §4.14.2). Two tabs that refresh
        within a few seconds both succeed. Raises TokenRejected.
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
    ) -> None:
        """Prove by the password, or by the PIN of an adult's profile, that an adult of the household is present.

        For some minutes this sign-in may then change the household. Signing in, and choosing an adult's profile by its
        PIN, are such proofs too; choosing a child's profile ends them. Raises WrongPassword, WrongPin, ProfileNotFound,
        TooManyAttempts, TokenRejected.
        """

    @idempotent
    async def verify_sign_in(self, *, principal: Principal) -> Principal:
        """Return a principal with its present roles. Raises TokenRejected when the sign-in or the account has ended."""

    @idempotent
    async def sign_out(self, *, account_id: AccountId, sign_in_id: SignInId) -> None:
        """End one sign-in. Idempotent."""

    async def sign_out_everywhere(self, *, principal: Principal) -> int:
        """End every sign-in of an account; return their number. Raises ProofRequired, TokenRejected."""

    @idempotent
    async def account(self, *, account_id: AccountId) -> Account:
        """Return an account. Raises Forbidden if there is none."""

    async def change_password(self, *, principal: Principal, password: str) -> Grant:
        """Change the password, end every sign-in of the account, and sign this device in again.

        Raises ProofRequired, TokenRejected, Invalid.
        """

    @idempotent
    async def find_account(self, *, email: str) -> Account:
        """Return the account with an e-mail address; for the command line only, like the next four.

        Raises AccountNotFound.
        """

    @idempotent
    async def grant_role(self, *, email: str, role: str) -> Account:
        """Give an account a role. Idempotent. Raises AccountNotFound."""

    @idempotent
    async def revoke_role(self, *, email: str, role: str) -> Account:
        """Take a role from an account. Idempotent. Raises AccountNotFound."""

    async def reset_password(self, *, email: str, password: str) -> Account:
        """Set the password of an account and end every sign-in. Raises AccountNotFound, Invalid."""

    async def end_sign_ins(self, *, email: str) -> int:
        """End every sign-in of an account; return their number. Raises AccountNotFound."""

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
    ) -> Profile:
        """Change the given fields; an empty `pin` removes the PIN.

        An adult may change the name, the avatar and the language of the own profile; all else needs a proof. Raises
        ProofRequired, TokenRejected, Invalid, ProfileNotFound.
        """

    @idempotent
    async def remove_profile(self, *, principal: Principal, profile_id: ProfileId) -> None:
        """Remove a profile. Idempotent. Raises ProofRequired, TokenRejected, LastProfile."""

    @idempotent
    async def devices(self, *, account_id: AccountId) -> list[Device]:
        """List the devices of an account, the last seen first."""

    async def remove_device(self, *, principal: Principal, device_id: DeviceId) -> None:
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
