"""The service of licensing."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

import msgspec

from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId
from matinee.licensing import model
from matinee.licensing.api import ClearKeyLicence, ContentKey, Label, LicenceRefused, LicenceTerms, UnknownKey
from matinee.licensing.model import SealedKey
from matinee.licensing.ports import KeyVault, Sealer

KEYS_LIMIT = 32  # more keys than an asset has


class LicensingService:
    """Implements `Licensing`. `token_key` is the secret of 32 bytes, shared by all instances, that signs tokens."""

    def __init__(
        self,
        *,
        vault: KeyVault,
        sealer: Sealer,
        token_key: bytes,
        clock: Clock,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if len(token_key) < 32:
            raise ValueError("a licence token key needs at least 32 bytes")
        self._vault = vault
        self._sealer = sealer
        self._token_key = token_key
        self._clock = clock
        self._entropy = entropy

    async def ensure_content_keys(self, *, asset_id: AssetId, labels: tuple[Label, ...]) -> list[ContentKey]:
        stored = {key.label: key for key in await self._vault.list_keys(asset_id=asset_id)}
        if missing := [label for label in dict.fromkeys(labels) if label not in stored]:
            await self._vault.add_keys(keys=[await self._generate(asset_id, label) for label in missing])
            # Another process may have been first: then its keys are stored.
            stored = {key.label: key for key in await self._vault.list_keys(asset_id=asset_id)}
        return [await self._to_content_key(stored[label]) for label in dict.fromkeys(labels)]

    async def grant(self, *, terms: LicenceTerms) -> str:
        return model.sign_token(terms, self._token_key)

    async def issue_clearkey_licence(
        self, *, token: str, key_ids: list[str], profile_id: ProfileId, device_id: DeviceId
    ) -> ClearKeyLicence:
        terms = self._verify(token)
        if (terms.profile_id, terms.device_id) != (profile_id, device_id):
            raise LicenceRefused
        return await self._issue_licence(terms, key_ids)

    async def issue_licence_by_link(self, *, token: str, key_ids: list[str]) -> ClearKeyLicence:
        return await self._issue_licence(self._verify(token), key_ids)

    async def get_identity_key(self, *, token: str, key_id: str) -> bytes:
        (key,) = await self._select_keys(self._verify(token), [model.parse_key_id(key_id)])
        return await self._unseal(key)

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        await self._vault.revoke(session_id=session_id, expires_at=expires_at)

    async def _issue_licence(self, terms: LicenceTerms, key_ids: list[str]) -> ClearKeyLicence:
        keys = await self._select_keys(terms, [model.parse_web_key_id(kid) for kid in key_ids[:KEYS_LIMIT]])
        return ClearKeyLicence(keys=[model.to_web_key(key.key_id, await self._unseal(key)) for key in keys])

    def _verify(self, token: str) -> LicenceTerms:
        return model.verify_token(token, self._token_key, self._clock.now())

    async def _select_keys(self, terms: LicenceTerms, key_ids: list[str]) -> list[SealedKey]:
        # The revocation is read with the keys each time, so that it takes effect on all instances at once.
        found = await self._vault.find_session_keys(asset_id=terms.asset_id, session_id=terms.session_id)
        if found.revoked:
            raise LicenceRefused
        if keys := model.select_keys(terms, found.keys, set(key_ids)):
            return keys
        known = await self._vault.filter_known(key_ids=key_ids)
        if unknown := [key_id for key_id in key_ids if key_id not in known]:
            raise UnknownKey(key_id=unknown[0])
        raise LicenceRefused

    async def _generate(self, asset_id: AssetId, label: Label) -> SealedKey:
        key_id, key = self._entropy(model.KEY_BYTES).hex(), self._entropy(model.KEY_BYTES)
        unsealed = SealedKey(asset_id=asset_id, label=label, key_id=key_id, sealed=b"")
        sealed = await self._sealer.seal(key, unsealed.associated_data())
        return msgspec.structs.replace(unsealed, sealed=sealed)

    async def _to_content_key(self, key: SealedKey) -> ContentKey:
        plain = await self._unseal(key)
        return ContentKey(asset_id=key.asset_id, label=key.label, key_id=key.key_id, key=plain.hex())

    async def _unseal(self, key: SealedKey) -> bytes:
        return await self._sealer.unseal(key.sealed, key.associated_data())
