"""Licensing: rules, vault and seal put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

from matinee.kit.clock import Clock
from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId
from matinee.licensing import model
from matinee.licensing.api import ClearKeyLicence, ContentKey, Label, LicenceRefused, LicenceTerms, UnknownKey
from matinee.licensing.model import SealedKey
from matinee.licensing.ports import KeyVault, Sealer

# More keys than any asset has.
ASKED_LIMIT = 32


class LicensingService:
    """Fulfils `Licensing`. `token_key` (32 bytes, a secret) signs licence tokens; every instance has the same."""

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
            raise ValueError("a licence token key has at least 32 bytes")
        self._vault = vault
        self._sealer = sealer
        self._token_key = token_key
        self._clock = clock
        self._entropy = entropy

    async def content_keys(self, *, asset_id: AssetId, labels: tuple[Label, ...]) -> list[ContentKey]:
        held = {key.label: key for key in await self._vault.keys(asset_id=asset_id)}
        if missing := [label for label in dict.fromkeys(labels) if label not in held]:
            await self._vault.keep(keys=[await self._made(asset_id, label) for label in missing])
            # Read again: another process may have been first, and its keys are the ones.
            held = {key.label: key for key in await self._vault.keys(asset_id=asset_id)}
        return [await self._content_key(held[label]) for label in dict.fromkeys(labels)]

    async def grant(self, *, terms: LicenceTerms) -> str:
        return model.minted(terms, self._token_key)

    async def clearkey(
        self, *, token: str, key_ids: list[str], profile_id: ProfileId, device_id: DeviceId
    ) -> ClearKeyLicence:
        terms = self._opened(token)
        if (terms.profile_id, terms.device_id) != (profile_id, device_id):
            raise LicenceRefused
        keys = await self._covered(terms, [model.key_id_of(kid) for kid in key_ids[:ASKED_LIMIT]])
        return ClearKeyLicence(keys=[model.web_key(key.key_id, await self._unsealed(key)) for key in keys])

    async def identity_key(self, *, token: str, key_id: str) -> bytes:
        (key,) = await self._covered(self._opened(token), [model.checked_key_id(key_id)])
        return await self._unsealed(key)

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        await self._vault.revoke(session_id=session_id, expires_at=expires_at)

    def _opened(self, token: str) -> LicenceTerms:
        return model.opened(token, self._token_key, self._clock.now())

    async def _covered(self, terms: LicenceTerms, asked: list[str]) -> list[SealedKey]:
        # Revocation is read each time, with the keys: one instance's revoke holds at once on all.
        holding = await self._vault.holding(asset_id=terms.asset_id, session_id=terms.session_id)
        if holding.revoked:
            raise LicenceRefused
        if keys := model.covered(terms, holding.keys, set(asked)):
            return keys
        known = await self._vault.known(key_ids=asked)
        if unknown := [key_id for key_id in asked if key_id not in known]:
            raise UnknownKey(key_id=unknown[0])
        raise LicenceRefused

    async def _made(self, asset_id: AssetId, label: Label) -> SealedKey:
        key_id, key = self._entropy(model.KEY_BYTES).hex(), self._entropy(model.KEY_BYTES)
        bare = SealedKey(asset_id=asset_id, label=label, key_id=key_id, sealed=b"")
        sealed = await self._sealer.seal(key, bare.bound_to())
        return SealedKey(asset_id=asset_id, label=label, key_id=key_id, sealed=sealed)

    async def _content_key(self, key: SealedKey) -> ContentKey:
        plain = await self._unsealed(key)
        return ContentKey(asset_id=key.asset_id, label=key.label, key_id=key.key_id, key=plain.hex())

    async def _unsealed(self, key: SealedKey) -> bytes:
        return await self._sealer.unseal(key.sealed, key.bound_to())
