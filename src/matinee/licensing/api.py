"""The public interface of licensing."""

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
    """The session, title, profile, device and labels that a licence token is bound to."""

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
    """The licence token is not valid for this title, profile, device or time."""


class UnknownKey(Problem, status=404):
    """There is no content key with this id."""

    key_id: str


class Licensing(Protocol):
    """Content keys, and the licences that contain them."""

    @idempotent
    async def ensure_content_keys(self, *, asset_id: AssetId, labels: tuple[Label, ...]) -> list[ContentKey]:
        """Return an asset's keys. The first call for an asset and label generates its key; later calls return it."""

    async def grant(self, *, terms: LicenceTerms) -> str:
        """Return a licence token bound to these terms."""

    @idempotent
    async def issue_clearkey_licence(
        self, *, token: str, key_ids: list[str], profile_id: ProfileId, device_id: DeviceId
    ) -> ClearKeyLicence:
        """Return a licence with the requested keys (base64url ids) that the token covers.

        Raises LicenceRefused, UnknownKey.
        """

    @idempotent
    async def issue_licence_by_link(self, *, token: str, key_ids: list[str]) -> ClearKeyLicence:
        """Return a licence to a player that has no other credential than the token.

        Raises LicenceRefused, UnknownKey.
        """

    @idempotent
    async def get_identity_key(self, *, token: str, key_id: str) -> bytes:
        """Return the 16 bytes of a key (hexadecimal id), for the HLS key format `identity`.

        Raises LicenceRefused, UnknownKey.
        """

    @idempotent
    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        """Refuse further licences for the tokens of a session, until they expire. Idempotent."""
