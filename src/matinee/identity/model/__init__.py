"""Rules: profiles, rotation of refresh tokens, proofs, delays after failed attempts."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import msgspec

from matinee.identity.api import (
    Account,
    DeviceInfo,
    LastProfile,
    Profile,
    ProfileNotFound,
    TokenRejected,
    TooManyProfiles,
)
from matinee.kit import ids
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId

PROFILE_LIMIT = 8
# The highest maturity of a kids profile.
KIDS_MATURITY = 12
# The lowest maturity of an adult's profile.
ADULT_MATURITY = 18
FIRST_AVATAR = "ember"
# Attempts without a delay; each further one doubles the delay up to LONGEST_WAIT.
FREE_ATTEMPTS = 5
LONGEST_WAIT = timedelta(minutes=15)
# The same for an e-mail address in all networks together: strangers who guess must not lock its owner out.
FREE_ATTEMPTS_ANYWHERE = 100
LONGEST_WAIT_ANYWHERE = timedelta(minutes=1)
ANYWHERE = "email:"
ATTEMPTS_EXPIRE_AFTER = timedelta(hours=1)
DEVICES_EXPIRE_AFTER = timedelta(days=90)
# How many tabs may rotate one refresh token at the same time.
SIBLING_LIMIT = 8

# What an adult may change on the own profile at any time.
_OWN_FIELDS = frozenset({"name", "avatar", "language"})


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the hash of its password."""

    account: Account
    password_hash: str


class StoredProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile and the hash of its PIN."""

    profile: Profile
    pin_hash: str | None = None


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in on one device: a family of refresh tokens.

    `handle` is the digest of a secret that all tokens of the family contain. `live` has the digests of the valid
    tokens (several if tabs refreshed concurrently), `spent` those that were valid before `turned_at`. `proved_at` is
    the last time at which an adult gave the password or a PIN; where that was done on the page of a child,
    `proved_for` is the child's profile, and the proof is good for one change.
    """

    sign_in_id: SignInId
    account_id: AccountId
    device_id: DeviceId
    handle: bytes
    live: tuple[bytes, ...]
    turned_at: datetime
    expires_at: datetime
    spent: tuple[bytes, ...] = ()
    profile_id: ProfileId | None = None
    proved_at: datetime | None = None
    proved_for: ProfileId | None = None


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded refresh token: the id of its sign-in, the 128-bit handle of its family, its own 256-bit secret."""

    sign_in_id: SignInId
    handle: bytes
    secret: bytes

    def encode(self) -> str:
        """Return the token as text."""
        parts = ids.decode(self.sign_in_id).bytes + self.handle + self.secret
        return urlsafe_b64encode(parts).rstrip(b"=").decode()


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token states of its bearer."""

    is_adult: bool
    roles: tuple[str, ...]


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive failed attempts."""

    count: int
    last_at: datetime


def parse_refresh_token(text: str) -> RefreshToken:
    """Parse a token. Raises TokenRejected."""
    try:
        parts = urlsafe_b64decode(text.encode("ascii") + b"==")
    except ValueError as error:
        raise TokenRejected from error
    token = RefreshToken(
        sign_in_id=SignInId(f"{ids.PREFIXES[SignInId]}_{ids.encode(uuid.UUID(bytes=parts[:16].ljust(16)))}"),
        handle=parts[16:32],
        secret=parts[32:],
    )
    if len(parts) != 64 or token.encode() != text:  # a token has exactly one valid text form
        raise TokenRejected
    return token


def hash_secret(secret: bytes) -> bytes:
    """Return the digest under which a handle or a secret of at least 128 bits is stored."""
    return hashlib.sha256(secret).digest()


def rotate(
    sign_in: SignIn, token: RefreshToken, fresh: bytes, now: datetime, *, grace: timedelta, lifetime: timedelta
) -> SignIn | None:
    """Return the sign-in after a token was exchanged for a new one (`fresh`, a digest); None if it must be revoked.

    Raises TokenRejected for a token of another family or an expired one. A spent token of the family has been used
    twice, so one of its users may be a thief, and the family is revoked (RFC 9700 §4.14.2). Only owners of one of its
    tokens know the handle, so a guessed token cannot revoke it.
    """
    if sign_in.expires_at <= now or not hmac.compare_digest(hash_secret(token.handle), sign_in.handle):
        raise TokenRejected
    presented = hash_secret(token.secret)
    expires_at = now + lifetime
    if presented in sign_in.live:
        return msgspec.structs.replace(sign_in, live=(fresh,), spent=sign_in.live, turned_at=now, expires_at=expires_at)
    if presented in sign_in.spent and is_recent(sign_in.turned_at, now, grace):
        if len(sign_in.live) >= SIBLING_LIMIT:
            raise TokenRejected
        return msgspec.structs.replace(sign_in, live=(*sign_in.live, fresh), expires_at=expires_at)
    return None


def is_recent(moment: datetime, now: datetime, limit: timedelta) -> bool:
    """Return whether a moment is less than a limit ago. A time from a clock that was ahead is not recent."""
    return moment - CLOCK_SKEW <= now < moment + limit


def check_sign_in(sign_in: SignIn | None, account_id: AccountId, now: datetime) -> SignIn:
    """Return a sign-in of an account that has not ended. Raises TokenRejected."""
    if sign_in is None or sign_in.account_id != account_id or sign_in.expires_at <= now:
        raise TokenRejected
    return sign_in


def get_rights(account: Account, profile: Profile | None, chosen: ProfileId | None) -> Rights:
    """Return the rights of a sign-in: a child's profile, or one that no longer exists, has no roles."""
    is_adult_present = is_adult(profile) if profile is not None else chosen is None
    return Rights(is_adult=is_adult_present, roles=account.roles if is_adult_present else ())


def list_sign_in_subjects(
    address: str, device_id: DeviceId | None, device: DeviceInfo, network: str
) -> tuple[str, ...]:
    """Return what an attempt to sign in counts for.

    A known device has its own count, so that attempts by others do not lock its owner out. Of unknown ones those in
    one network have a count, and all have one that allows many more.
    """
    if device_id is not None:
        return (f"device:{device_id}",)
    email = hash_secret(address.encode()).hex()
    strangers = () if device.device_id is None else (f"stranger:{device.device_id[:64]}",)
    return (f"{ANYWHERE}{email}", f"from:{email}@{network}", *strangers)


def get_wait_ms(subject: str, attempts: Attempts | None, now: datetime) -> int:
    """Return the milliseconds until the next attempt of a subject is allowed."""
    is_anywhere = subject.startswith(ANYWHERE)
    free = FREE_ATTEMPTS_ANYWHERE if is_anywhere else FREE_ATTEMPTS
    if attempts is None or attempts.count < free or attempts.last_at > now + CLOCK_SKEW:
        return 0
    longest = LONGEST_WAIT_ANYWHERE if is_anywhere else LONGEST_WAIT
    wait = min(timedelta(seconds=2 ** min(attempts.count - free, 10)), longest)
    return max(0, (attempts.last_at + wait - now) // timedelta(milliseconds=1))


def add_attempt(attempts: Attempts | None, now: datetime) -> Attempts:
    """Return the attempts including one more."""
    if attempts is None or now - attempts.last_at > ATTEMPTS_EXPIRE_AFTER:
        return Attempts(count=1, last_at=now)
    return Attempts(count=attempts.count + 1, last_at=now)


def add_profile(profiles: tuple[StoredProfile, ...], added: StoredProfile) -> tuple[StoredProfile, ...]:
    """Add a profile. Raises TooManyProfiles."""
    if len(profiles) >= PROFILE_LIMIT:
        raise TooManyProfiles(limit=PROFILE_LIMIT)
    return (*profiles, _limit_maturity(added))


def change_profile(
    profiles: tuple[StoredProfile, ...], profile_id: ProfileId, pin_hash: str | None, changes: Mapping[str, object]
) -> tuple[StoredProfile, ...]:
    """Change a profile; `pin_hash` None keeps the PIN, empty removes it. Raises ProfileNotFound."""
    old = find_profile(profiles, profile_id)
    pin = old.pin_hash if pin_hash is None else pin_hash or None
    profile = msgspec.structs.replace(old.profile, **changes, has_pin=pin is not None)
    new = _limit_maturity(StoredProfile(profile=profile, pin_hash=pin))
    return tuple(new if one is old else one for one in profiles)


def list_changed(before: tuple[StoredProfile, ...], after: tuple[StoredProfile, ...]) -> list[Profile]:
    """List the profiles that were there before and are not the same any more."""
    old = {stored.profile.profile_id: stored for stored in before}
    return [stored.profile for stored in after if old.get(stored.profile.profile_id, stored) != stored]


def remove_profile(profiles: tuple[StoredProfile, ...], profile_id: ProfileId) -> tuple[StoredProfile, ...]:
    """Remove a profile. Raises LastProfile."""
    rest = tuple(one for one in profiles if one.profile.profile_id != profile_id)
    if not rest:
        raise LastProfile
    return rest


def is_adult(profile: Profile) -> bool:
    """Return whether a profile is an adult's."""
    return not profile.kids and profile.maturity >= ADULT_MATURITY


def may_change_freely(principal: Principal, profile_id: ProfileId, changes: Collection[str]) -> bool:
    """Return whether an adult may change these fields of a profile without a proof: the looks of the own one."""
    return principal.is_adult and principal.profile_id == profile_id and _OWN_FIELDS.issuperset(changes)


def choose_profile(sign_in: SignIn, profile: Profile, now: datetime, *, with_pin: bool) -> SignIn:
    """Return a sign-in on which a profile was chosen. An adult's PIN is a proof; a child's profile ends proofs."""
    kept = sign_in.proved_at if sign_in.proved_for is None else None
    proved_at = None if not is_adult(profile) else now if with_pin else kept
    return msgspec.structs.replace(sign_in, profile_id=profile.profile_id, proved_at=proved_at, proved_for=None)


def is_proved(sign_in: SignIn, principal: Principal, now: datetime, validity: timedelta) -> bool:
    """Return whether a proof that an adult is present lets a principal change the household.

    A proof by an adult does not let a child on the same device change anything, in another tab for example.
    """
    proved_for = None if principal.is_adult else principal.profile_id
    is_for = sign_in.proved_for == proved_for and (principal.is_adult or proved_for is not None)
    return is_for and sign_in.proved_at is not None and is_recent(sign_in.proved_at, now, validity)


def find_profile(profiles: tuple[StoredProfile, ...], profile_id: ProfileId) -> StoredProfile:
    """Find a profile. Raises ProfileNotFound."""
    for one in profiles:
        if one.profile.profile_id == profile_id:
            return one
    raise ProfileNotFound(profile_id=profile_id)


def _limit_maturity(stored: StoredProfile) -> StoredProfile:
    if not stored.profile.kids or stored.profile.maturity <= KIDS_MATURITY:
        return stored
    return msgspec.structs.replace(stored, profile=msgspec.structs.replace(stored.profile, maturity=KIDS_MATURITY))
