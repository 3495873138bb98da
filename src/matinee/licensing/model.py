"""The rules: what a licence token says and proves, and which keys it opens."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

import msgspec

from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId, TitleId
from matinee.licensing.api import JsonWebKey, Label, LicenceRefused, LicenceTerms, UnknownKey

KEY_BYTES = 16
TOKEN_LIMIT = 2048
_VERSION = "1"
_KEY_ID = re.compile(r"[0-9a-f]{32}")


class SealedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A content key as it is kept: `sealed` opens only for this asset, label and key id."""

    asset_id: AssetId
    label: Label
    key_id: str
    sealed: bytes

    def bound_to(self) -> bytes:
        """What the seal is bound to."""
        return msgspec.json.encode(("content-key", self.asset_id, self.label, self.key_id))


class _Payload(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Terms without their names: the token travels in headers and paths."""

    session_id: PlaySessionId
    title_id: TitleId
    asset_id: AssetId
    profile_id: ProfileId
    device_id: DeviceId
    labels: tuple[Label, ...]
    expires_at: datetime


_decoder = msgspec.json.Decoder(_Payload)


def minted(terms: LicenceTerms, key: bytes) -> str:
    """A token for these terms: version, payload (base64url JSON), HMAC-SHA256 over both."""
    payload = msgspec.json.encode(_Payload(**msgspec.structs.asdict(terms)))
    signed = f"{_VERSION}.{_base64url(payload)}"
    return f"{signed}.{_signature(signed, key)}"


def opened(token: str, key: bytes, now: datetime) -> LicenceTerms:
    """The terms of a token that was minted with this key and is still good. Raises LicenceRefused."""
    signed, _, signature = token.rpartition(".")
    # The signature's text is compared, not its bytes: base64 would take several spellings for one.
    given, right = signature.encode("utf-8", "replace"), _signature(signed, key).encode()
    if len(token) > TOKEN_LIMIT or not hmac.compare_digest(given, right):
        raise LicenceRefused
    payload = _decoder.decode(urlsafe_b64decode(f"{signed.partition('.')[2]}=="))
    if payload.expires_at <= now:
        raise LicenceRefused(detail="This licence token has expired.")
    return LicenceTerms(**msgspec.structs.asdict(payload))


def covered(terms: LicenceTerms, keys: list[SealedKey], asked: set[str]) -> list[SealedKey]:
    """The asked keys that the terms open; the others are withheld."""
    return [key for key in keys if key.asset_id == terms.asset_id and key.label in terms.labels and key.key_id in asked]


def key_id_of(kid: str) -> str:
    """The hexadecimal form of a base64url key id. Raises UnknownKey where it is none."""
    try:
        raw = urlsafe_b64decode(kid.encode("ascii") + b"==")
    except ValueError as error:
        raise _unknown(kid) from error
    return checked_key_id(raw.hex())


def checked_key_id(key_id: str) -> str:
    """A hexadecimal key id in lower case. Raises UnknownKey where it is none."""
    if not _KEY_ID.fullmatch(key_id.lower()):
        raise _unknown(key_id)
    return key_id.lower()


def web_key(key_id: str, key: bytes) -> JsonWebKey:
    """A key as a ClearKey licence holds it."""
    return JsonWebKey(kid=_base64url(bytes.fromhex(key_id)), k=_base64url(key))


def _unknown(key_id: str) -> UnknownKey:
    return UnknownKey(key_id=key_id[:64].encode("ascii", "replace").decode())


def _signature(signed: str, key: bytes) -> str:
    return _base64url(hmac.digest(key, b"matinee/licence/" + signed.encode("utf-8", "replace"), "sha256"))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
