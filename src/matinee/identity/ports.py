"""What identity needs of the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import msgspec

from matinee.events.api import FactRecord
from matinee.identity.api import Account, Device, Profile
from matinee.identity.model import Credentials, KeptProfile, SignIn
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId

Profiles: TypeAlias = tuple[KeptProfile, ...]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An account and, where it has it, the profile that was asked for."""

    account: Account
    kept: KeptProfile | None = None


class ProfilesChange(msgspec.Struct, frozen=True, kw_only=True):
    """The profiles an account is to have, and the facts to tell with them."""

    profiles: Profiles
    records: tuple[FactRecord, ...] = ()


class SignInChange(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-in as it is to be (None: ended), and the facts to tell with it."""

    sign_in: SignIn | None
    records: tuple[FactRecord, ...] = ()


class AccountStore(Protocol):
    """Accounts and their profiles. A change is a pure function, run inside a transaction and maybe more than once."""

    async def open_account(
        self, *, credentials: Credentials, profile: Profile, records: tuple[FactRecord, ...]
    ) -> None:
        """Keep a new account, its first profile and the facts of it. Raises EmailTaken."""

    async def credentials(self, *, email: str) -> Credentials | None:
        """The account with an address."""

    async def change_account(
        self, *, account_id: AccountId, change: Callable[[Credentials], Credentials]
    ) -> Credentials | None:
        """Change roles, status or password hash; tells what it is then, None where there is no such account."""

    async def member(self, *, account_id: AccountId, profile_id: ProfileId | None) -> Member | None:
        """An account and one of its profiles, in one look-up."""

    async def profiles(self, *, account_id: AccountId) -> Profiles:
        """The profiles in the order they were made; none where there is no such account."""

    async def change_profiles(self, *, account_id: AccountId, change: Callable[[Profiles], ProfilesChange]) -> None:
        """Change an account's profiles; what the change raises is raised, and nothing changed. Raises Forbidden."""


class SignInStore(Protocol):
    """Sign-ins and the devices they are on."""

    async def begin(self, *, sign_in: SignIn, device: Device) -> None:
        """Keep a new sign-in and its device, which may be known already."""

    async def change(
        self, *, sign_in_id: SignInId, now: datetime, change: Callable[[SignIn], SignInChange]
    ) -> SignInChange | None:
        """Change or end a sign-in, and see its device at `now`; None where there is no such sign-in."""

    async def end(self, *, sign_in_id: SignInId) -> None:
        """Forget a sign-in. Idempotent."""

    async def end_all(self, *, account_id: AccountId) -> int:
        """Forget every sign-in of an account; tells how many there were."""

    async def devices(self, *, account_id: AccountId, now: datetime) -> list[Device]:
        """The devices of an account, last seen first; signed in where a sign-in on it is good at `now`."""

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId) -> bool:
        """Forget a device and its sign-ins; whether there was one."""

    async def expire(self, *, now: datetime) -> int:
        """Drop the sign-ins whose time has run out; tells how many."""


class Throttle(Protocol):
    """Counts wrong tries by subject (`email:…`, `device:…`, `pin:…`), durably."""

    async def attempt(self, *, subjects: tuple[str, ...], now: datetime) -> int:
        """Count a try before it is made, so that tries at the same time count too; 0, or the ms to wait instead."""

    async def forgive(self, *, subjects: tuple[str, ...]) -> None:
        """The try was right: count from nought again."""

    async def forget(self, *, before: datetime) -> int:
        """Drop what was last tried before then; tells how many."""


class Secrets(Protocol):
    """Hashes passwords and PINs. `decoy` is a hash that nothing matches."""

    decoy: str

    async def hash(self, secret: str) -> str:
        """A slow, salted hash. Raises Overloaded."""

    async def verify(self, hashed: str, secret: str) -> bool:
        """Whether this was hashed. Raises Overloaded."""

    def outdated(self, hashed: str) -> bool:
        """Whether it should be hashed again."""


class Signer(Protocol):
    """Signs access tokens."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed token."""

    def public_keys(self) -> list[dict[str, str]]:
        """What it is verified with, as JSON Web Keys."""
