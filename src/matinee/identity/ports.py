"""The stores and cryptography that identity needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import msgspec

from matinee.events.api import FactRecord
from matinee.identity.api import Account, AuditEntry, Device, DeviceInfo, Profile
from matinee.identity.model import Credentials, SignIn, StoredProfile
from matinee.kit.ids import AccountId, AuditEntryId, DeviceId, ProfileId, SignInId

Profiles: TypeAlias = tuple[StoredProfile, ...]
# Returns why a password is easy to guess, an empty text if it is not. The other argument are words about its owner.
FindWeakness: TypeAlias = Callable[[str, Sequence[str]], Awaitable[str]]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the requested profile, None if the account has no such profile."""

    account: Account
    profile: StoredProfile | None = None


class ProfilesChange(msgspec.Struct, frozen=True, kw_only=True):
    """The new profiles of an account and the facts to store with them."""

    profiles: Profiles
    records: tuple[FactRecord, ...] = ()


class SignInChange(msgspec.Struct, frozen=True, kw_only=True):
    """The new state of a sign-in (None ends it) and the facts to store with it."""

    sign_in: SignIn | None
    records: tuple[FactRecord, ...] = ()


class AccountDirectory(Protocol):
    """Finds accounts for operators, and erases them."""

    async def list_accounts(self, *, query: str, after: tuple[datetime, AccountId] | None, limit: int) -> list[Account]:
        """List accounts whose e-mail address contains `query`, newest first, after a time and an id."""

    async def list_closed(self) -> list[AccountId]:
        """List the accounts that are closed but not erased."""

    async def erase_account(
        self, *, account_id: AccountId, to_records: Callable[[Profiles], tuple[FactRecord, ...]]
    ) -> None:
        """Delete an account and its profiles, and store the facts that follow from those. Idempotent."""


class AccountStore(AccountDirectory, Protocol):
    """Accounts and their profiles. A change is a pure function; a transaction may call it several times."""

    async def open_account(
        self, *, credentials: Credentials, profile: Profile, records: tuple[FactRecord, ...]
    ) -> None:
        """Store a new account, its first profile and facts. Raises EmailTaken."""

    async def credentials(self, *, email: str) -> Credentials | None:
        """Return the account with an e-mail address."""

    async def change_account(
        self, *, account_id: AccountId, change: Callable[[Credentials], Credentials], keep_role: str = ""
    ) -> Credentials | None:
        """Change roles, status or password hash; return the result, None if there is no such account.

        With `keep_role` it raises LastOperator, and changes nothing, where no active account would have that role.
        """

    async def member(self, *, account_id: AccountId, profile_id: ProfileId | None) -> Member | None:
        """Return an account and one of its profiles."""

    async def profiles(self, *, account_id: AccountId) -> Profiles:
        """List profiles in the order of their creation; empty if there is no such account."""

    async def change_profiles(self, *, account_id: AccountId, change: Callable[[Profiles], ProfilesChange]) -> None:
        """Change the profiles of an account; nothing changes if `change` raises. Raises Forbidden."""


class DeviceStore(Protocol):
    """The devices that have signed in."""

    async def devices(self, *, account_id: AccountId, now: datetime) -> list[Device]:
        """List the devices of an account, the last seen first; `signed_in` if a sign-in is valid at `now`."""

    async def find_device(self, *, account_id: AccountId, device_id: DeviceId) -> DeviceInfo | None:
        """Return how a device of an account described itself. Its cost does not grow with the number of devices."""

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId, record: FactRecord) -> bool:
        """Delete a device and its sign-ins; return whether it existed. The fact is stored with the deletion."""

    async def expire_devices(self, *, before: datetime) -> int:
        """Delete devices that were last seen before a time, and return their number."""


class SignInStore(DeviceStore, Protocol):
    """Sign-ins and their devices."""

    async def begin(self, *, sign_in: SignIn, device: Device) -> None:
        """Store a new sign-in and its device, which may exist already."""

    async def change(
        self, *, sign_in_id: SignInId, now: datetime, change: Callable[[SignIn], SignInChange]
    ) -> SignInChange | None:
        """Change or end a sign-in and set its device's `last_seen_at`; None if there is no such sign-in."""

    async def find(self, *, sign_in_id: SignInId) -> SignIn | None:
        """Return a sign-in, expired or not."""

    async def end(self, *, account_id: AccountId, sign_in_id: SignInId | None = None, record: FactRecord) -> int:
        """Delete one sign-in of an account or, without an id, all; return their number.

        The fact is stored with the deletion where there was one.
        """

    async def erase(self, *, account_id: AccountId, record: FactRecord) -> None:
        """Delete the sign-ins and devices of an account. The fact is stored where there was a sign-in. Idempotent."""

    async def expire(self, *, now: datetime) -> int:
        """Delete expired sign-ins; return their number."""


class Throttle(Protocol):
    """Counts failed attempts by subject (`email:…`, `from:…`, `device:…`, `pin:…`), durably."""

    async def attempt(self, *, subjects: tuple[str, ...], now: datetime) -> int:
        """Count an attempt and return 0, or return the milliseconds to wait. Call it before the attempt is made."""

    async def reset(self, *, subjects: tuple[str, ...]) -> None:
        """Reset the counts after a successful attempt."""

    async def expire_attempts(self, *, before: datetime) -> int:
        """Delete counts whose last attempt was before a time; return their number."""


class AuditLog(Protocol):
    """The audit log."""

    async def add(self, entry: AuditEntry) -> None:
        """Store an entry."""

    async def list_entries(
        self, *, account_id: AccountId | None, after: tuple[datetime, AuditEntryId] | None, limit: int
    ) -> list[AuditEntry]:
        """List entries, newest first, after a time and an id: all, or those of which an account is a party."""

    async def delete_before(self, *, before: datetime) -> int:
        """Delete the entries before a time; return their number."""


class Secrets(Protocol):
    """Hashes passwords and PINs. `decoy` is a hash that no secret matches."""

    decoy: str

    async def hash(self, secret: str) -> str:
        """Return a slow, salted hash. Raises Overloaded."""

    async def verify(self, hashed: str, secret: str) -> bool:
        """Return whether a hash is of this secret. Raises Overloaded."""

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether a hash should be renewed."""


class Signer(Protocol):
    """Signs access tokens."""

    def rotate(self, *, discard: bool = False) -> int:
        """Add a key, which signs some minutes later, or with `discard` replace all at once.

        Return 0, or the milliseconds to wait where the newest key does not sign yet. Raises KeyFileUnusable.
        """

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a signed token."""

    def public_keys(self) -> list[dict[str, str]]:
        """Return the verification keys as JSON Web Keys."""
