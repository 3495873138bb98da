"""The front door of licensing."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId, TitleId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

Label: TypeAlias = Literal["AUDIO", "SD", "HD", "UHD"]


def choose_key_label(height_px: int) -> Label:
    """Choose the content key of a rendition: one for each quality, so that a licence can withhold a quality."""
    return "SD" if height_px <= 576 else "HD" if height_px <= 1080 else "UHD"


class ContentKey(msgspec.Struct, frozen=True, kw_only=True):
    """A 128-bit key and its id, both in hexadecimal."""

    asset_id: AssetId
    label: Label
    key_id: str
    key: str


class LicenceTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a licence token is bound to."""

    session_id: PlaySessionId
    title_id: TitleId
    asset_id: AssetId
    profile_id: ProfileId
    device_id: DeviceId
    labels: tuple[Label, ...]
    expires_at: datetime


class JsonWebKey(msgspec.Struct, frozen=True, kw_only=True):
    """A symmetric key (base64url) in a ClearKey licence (W3C Encrypted Media Extensions §9.1.4)."""

    kid: str
    k: str
    kty: str = "oct"


class ClearKeyLicence(msgspec.Struct, frozen=True, kw_only=True):
    """A ClearKey licence."""

    keys: list[JsonWebKey]
    type: str = "temporary"


class LicenceRefused(Problem, status=403):
    """No licence: the token is not good for this title, profile, device or time."""


class UnknownKey(Problem, status=404):
    """There is no such content key."""

    key_id: str


class Licensing(Protocol):
    """Content keys and who may have them."""

    @idempotent
    async def content_keys(self, *, asset_id: AssetId, labels: tuple[Label, ...]) -> list[ContentKey]:
        """The asset's keys, made at the first call. Idempotent: the same asset and label, the same key."""

    async def grant(self, *, terms: LicenceTerms) -> str:
        """A licence token bound to these terms."""

    @idempotent
    async def clearkey(
        self, *, token: str, key_ids: list[str], profile_id: ProfileId, device_id: DeviceId
    ) -> ClearKeyLicence:
        """A licence for the asked keys (base64url ids) that the token covers. Raises LicenceRefused, UnknownKey."""

    @idempotent
    async def identity_key(self, *, token: str, key_id: str) -> bytes:
        """One key's 16 bytes (hexadecimal id), for HLS key format `identity`. Raises LicenceRefused, UnknownKey."""

    @idempotent
    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        """No more licences for a session's tokens; remembered until they expire. Idempotent."""
