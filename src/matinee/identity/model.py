"""The rules: what an address, a password, a profile may be; how refresh tokens turn; how tries are slowed."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
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
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Fault, Invalid

PROFILE_LIMIT = 8
# A kids' profile never sees more than this, whatever else is asked for it.
KIDS_MATURITY = 12
MATURITY_LIMIT = 21
FIRST_AVATAR = "ember"
PASSWORD_LENGTHS = (8, 128)
NAME_LIMIT = 40
DEVICE_NAME_LIMIT = 80
# Tries that cost nothing but themselves; each one more doubles the wait, up to the longest.
FREE_TRIES = 5
LONGEST_WAIT = timedelta(minutes=15)
TRIES_FORGOTTEN_AFTER = timedelta(hours=1)
# Tabs that may turn one refresh token at the same time.
SIBLING_LIMIT = 8

# What `<input type=email>` takes (HTML Living Standard §4.10.5.1.5), and letters beyond ASCII (RFC 6531).
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\\\]]{1,64}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,4}")
_AVATAR = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# Controls, lone surrogates, line and paragraph separators: nothing that can be shown on a line.
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_PIN = re.compile(r"[0-9]{4,8}")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the hash of its password."""

    account: Account
    password_hash: str


class KeptProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile and the hash of its PIN."""

    profile: Profile
    pin_hash: str | None = None


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in on one device: a family of refresh tokens.

    `handle` proves that a token is of this family. `live` are the digests of the tokens that are good now (several
    where tabs raced), `spent` those that were good before `turned_at`.
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


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token, opened: the sign-in it names, its family's 128-bit handle, its own 256 bits."""

    sign_in_id: SignInId
    handle: bytes
    secret: bytes

    def text(self) -> str:
        """The token as a device keeps it."""
        parts = ids.decode(self.sign_in_id).bytes + self.handle + self.secret
        return urlsafe_b64encode(parts).rstrip(b"=").decode()


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """Wrong tries at something, in a row."""

    count: int
    last_at: datetime


def refresh_token(text: str) -> RefreshToken:
    """A token from its text. Raises TokenRejected."""
    try:
        parts = urlsafe_b64decode(text.encode("ascii") + b"==")
    except ValueError as error:
        raise TokenRejected from error
    token = RefreshToken(
        sign_in_id=SignInId(f"{ids.PREFIXES[SignInId]}_{ids.encode(uuid.UUID(bytes=parts[:16].ljust(16)))}"),
        handle=parts[16:32],
        secret=parts[32:],
    )
    if len(parts) != 64 or token.text() != text:  # one text a token: no second spelling
        raise TokenRejected
    return token


def digest(secret: bytes) -> bytes:
    """What is kept of a handle or a secret of 128 bits or more."""
    return hashlib.sha256(secret).digest()


def turned(
    sign_in: SignIn, token: RefreshToken, fresh: bytes, now: datetime, *, grace: timedelta, lifetime: timedelta
) -> SignIn | None:
    """The sign-in after a token was handed in and `fresh` (a digest) given out; None where it must end.

    Raises TokenRejected for a token that is none of this family's, or too late. One of the family that is spent
    came from two hands, and nobody can tell which was the thief's: the family ends (RFC 9700 §4.14.2). Only a
    holder of one of its tokens knows the handle, so a guess cannot end it.
    """
    if sign_in.expires_at <= now or not hmac.compare_digest(digest(token.handle), sign_in.handle):
        raise TokenRejected
    handed = digest(token.secret)
    expires_at = now + lifetime
    if handed in sign_in.live:
        return msgspec.structs.replace(sign_in, live=(fresh,), spent=sign_in.live, turned_at=now, expires_at=expires_at)
    if handed in sign_in.spent and now - sign_in.turned_at <= grace:
        if len(sign_in.live) >= SIBLING_LIMIT:
            raise TokenRejected
        return msgspec.structs.replace(sign_in, live=(*sign_in.live, fresh), expires_at=expires_at)
    return None


def wait_ms(tries: Tries | None, now: datetime) -> int:
    """How long until the next try is taken."""
    if tries is None or tries.count < FREE_TRIES:
        return 0
    wait = min(timedelta(seconds=2 ** min(tries.count - FREE_TRIES, 10)), LONGEST_WAIT)
    return max(0, (tries.last_at + wait - now) // timedelta(milliseconds=1))


def tried(tries: Tries | None, now: datetime) -> Tries:
    """The tries after one more."""
    if tries is None or now - tries.last_at > TRIES_FORGOTTEN_AFTER:
        return Tries(count=1, last_at=now)
    return Tries(count=tries.count + 1, last_at=now)


def email_key(email: str) -> str:
    """An address as it is kept and compared: NFKC, lower case, the domain in its ASCII form; as given if it is none."""
    plain = email.strip().encode("utf-8", "replace").decode()
    local, at, domain = unicodedata.normalize("NFKC", plain).lower().rpartition("@")
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        return f"{local}{at}{domain}"


def password_key(password: str) -> str:
    """A password as it is hashed: NFKC, so that every keyboard makes the same (NIST SP 800-63B §3.1.1.2)."""
    # What is longer than any password can be is only made wrong, not worked on.
    return unicodedata.normalize("NFKC", password[: 8 * PASSWORD_LENGTHS[1]])


def check_sign_up(email: str, password: str, name: str, language: str) -> None:
    """Raise Invalid with everything that is wrong with a new account."""
    _refuse(
        [
            *_email_faults(email_key(email)),
            *_password_faults(password_key(password)),
            *_profile_faults(name=name, language=language),
        ]
    )


def check_profile(
    *,
    name: str | None = None,
    avatar: str | None = None,
    language: str | None = None,
    maturity: int | None = None,
    pin: str | None = None,
) -> None:
    """Raise Invalid with everything that is wrong in a profile; None and an empty PIN are nothing wrong."""
    _refuse(_profile_faults(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin))


def cleaned_name(name: str) -> str:
    """A name as it is kept: NFC, without space around it."""
    return unicodedata.normalize("NFC", name).strip()


def device_name(device: DeviceInfo) -> str:
    """What a device calls itself, fit to be shown: a label never stops a sign-in."""
    shown = "".join(letter for letter in cleaned_name(device.name) if unicodedata.category(letter) not in _UNSHOWN)
    return shown[:DEVICE_NAME_LIMIT] or "Unknown device"


def with_profile(kept: tuple[KeptProfile, ...], added: KeptProfile) -> tuple[KeptProfile, ...]:
    """The account's profiles with one more. Raises TooManyProfiles."""
    if len(kept) >= PROFILE_LIMIT:
        raise TooManyProfiles(limit=PROFILE_LIMIT)
    return (*kept, _suited(added))


def with_change(
    kept: tuple[KeptProfile, ...], profile_id: ProfileId, pin_hash: str | None, changes: Mapping[str, object]
) -> tuple[KeptProfile, ...]:
    """The profiles with one changed; `pin_hash` None keeps the PIN, empty takes it away. Raises ProfileNotFound."""
    old = found(kept, profile_id)
    pin = old.pin_hash if pin_hash is None else pin_hash or None
    profile = msgspec.structs.replace(old.profile, **changes, has_pin=pin is not None)
    new = _suited(KeptProfile(profile=profile, pin_hash=pin))
    return tuple(new if one is old else one for one in kept)


def without_profile(kept: tuple[KeptProfile, ...], profile_id: ProfileId) -> tuple[KeptProfile, ...]:
    """The profiles without one. Raises LastProfile."""
    rest = tuple(one for one in kept if one.profile.profile_id != profile_id)
    if not rest:
        raise LastProfile
    return rest


def found(kept: tuple[KeptProfile, ...], profile_id: ProfileId) -> KeptProfile:
    """One of the profiles. Raises ProfileNotFound."""
    for one in kept:
        if one.profile.profile_id == profile_id:
            return one
    raise ProfileNotFound(profile_id=profile_id)


def _suited(kept: KeptProfile) -> KeptProfile:
    if not kept.profile.kids or kept.profile.maturity <= KIDS_MATURITY:
        return kept
    return msgspec.structs.replace(kept, profile=msgspec.structs.replace(kept.profile, maturity=KIDS_MATURITY))


def _refuse(found_wrong: Iterable[Fault]) -> None:
    if faults := list(found_wrong):
        raise Invalid(faults=faults, detail="; ".join(fault.message for fault in faults))


def _email_faults(email: str) -> Iterator[Fault]:
    local, at, domain = email.rpartition("@")
    good = at and _LOCAL.fullmatch(local) and all(_LABEL.fullmatch(label) for label in domain.split("."))
    if not good or len(email) > 254:
        yield Fault("email", "Give an e-mail address such as name@example.org.")


def _password_faults(password: str) -> Iterator[Fault]:
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest or not _encodes(password):
        yield Fault("password", f"Choose a password of {shortest} to {longest} characters.")


def _profile_faults(
    *,
    name: str | None = None,
    avatar: str | None = None,
    language: str | None = None,
    maturity: int | None = None,
    pin: str | None = None,
) -> Iterator[Fault]:
    if name is not None and not _is_name(cleaned_name(name)):
        yield Fault("name", f"Give a name of 1 to {NAME_LIMIT} characters.")
    if avatar is not None and not _AVATAR.fullmatch(avatar):
        yield Fault("avatar", "Choose an avatar by its name, such as ember.")
    if language is not None and not _LANGUAGE.fullmatch(language):
        yield Fault("language", "Give a language tag such as en or pt-BR.")
    if maturity is not None and not 0 <= maturity <= MATURITY_LIMIT:
        yield Fault("maturity", f"Give an age from 0 to {MATURITY_LIMIT}.")
    if pin and not _PIN.fullmatch(pin):
        yield Fault("pin", "Choose a PIN of 4 to 8 digits.")


def _is_name(shown: str) -> bool:
    categories = {unicodedata.category(letter) for letter in shown}
    return len(shown) <= NAME_LIMIT and bool(categories - {"Cf", "Zs"}) and not categories & _UNSHOWN


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
