"""The rules: the format and signature of licence tokens, and which keys a token covers."""

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
    """A content key as stored: `sealed` can be unsealed only for this asset, label and key id."""

    asset_id: AssetId
    label: Label
    key_id: str
    sealed: bytes

    def associated_data(self) -> bytes:
        """Return the bytes that the seal is bound to."""
        return msgspec.json.encode(("content-key", self.asset_id, self.label, self.key_id))


class _Payload(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Terms encoded without field names, because tokens are sent in headers and paths."""

    session_id: PlaySessionId
    title_id: TitleId
    asset_id: AssetId
    profile_id: ProfileId
    device_id: DeviceId
    labels: tuple[Label, ...]
    expires_at: datetime


_decoder = msgspec.json.Decoder(_Payload)


def sign_token(terms: LicenceTerms, key: bytes) -> str:
    """Return a token for these terms: version, payload (base64url JSON), HMAC-SHA256 of both."""
    payload = msgspec.json.encode(_Payload(**msgspec.structs.asdict(terms)))
    signed = f"{_VERSION}.{_encode(payload)}"
    return f"{signed}.{_sign(signed, key)}"


def verify_token(token: str, key: bytes, now: datetime) -> LicenceTerms:
    """Return the terms of a token that was signed with this key and has not expired. Raises LicenceRefused."""
    signed, _, signature = token.rpartition(".")
    # The text is compared, not the decoded bytes: base64 decoding accepts several spellings of the same bytes.
    given, expected = signature.encode("utf-8", "replace"), _sign(signed, key).encode()
    if len(token) > TOKEN_LIMIT or not hmac.compare_digest(given, expected):
        raise LicenceRefused
    payload = _decoder.decode(urlsafe_b64decode(f"{signed.partition('.')[2]}=="))
    if payload.expires_at <= now:
        raise LicenceRefused(detail="This licence token has expired.")
    return LicenceTerms(**msgspec.structs.asdict(payload))


def select_keys(terms: LicenceTerms, keys: list[SealedKey], requested: set[str]) -> list[SealedKey]:
    """Return the requested keys that the terms cover."""
    covered = (key for key in keys if key.asset_id == terms.asset_id and key.label in terms.labels)
    return [key for key in covered if key.key_id in requested]


def parse_web_key_id(kid: str) -> str:
    """Return the hexadecimal form of a base64url key id. Raises UnknownKey if it is malformed."""
    try:
        raw = urlsafe_b64decode(kid.encode("ascii") + b"==")
    except ValueError as error:
        raise _to_unknown_key(kid) from error
    return parse_key_id(raw.hex())


def parse_key_id(key_id: str) -> str:
    """Return a hexadecimal key id in lower case. Raises UnknownKey if it is malformed."""
    if not _KEY_ID.fullmatch(key_id.lower()):
        raise _to_unknown_key(key_id)
    return key_id.lower()


def to_web_key(key_id: str, key: bytes) -> JsonWebKey:
    """Return a key in the format of a ClearKey licence."""
    return JsonWebKey(kid=_encode(bytes.fromhex(key_id)), k=_encode(key))


def _to_unknown_key(key_id: str) -> UnknownKey:
    return UnknownKey(key_id=key_id[:64].encode("ascii", "replace").decode())


def _sign(signed: str, key: bytes) -> str:
    return _encode(hmac.digest(key, b"matinee/licence/" + signed.encode("utf-8", "replace"), "sha256"))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
