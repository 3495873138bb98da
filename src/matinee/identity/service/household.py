"""Profiles and devices: changed by the people of an account, after a proof that an adult is present."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from matinee.events.api import FactRecord, ProfileChanged, ProfileRemoved, SignInsEnded
from matinee.identity import model
from matinee.identity.api import Act, Actor, Device, DeviceNotFound, Profile
from matinee.identity.model import StoredProfile, validation
from matinee.identity.ports import Profiles, ProfilesChange
from matinee.identity.service.administration import Administration
from matinee.identity.service.proofs import Proofs
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId
from matinee.kit.structs import build_from


class Household(Administration):
    """The part of `Identity` that lists and changes profiles and devices."""

    _proofs: Proofs

    async def profiles(self, *, account_id: AccountId) -> list[Profile]:
        return [stored.profile for stored in await self._accounts.profiles(account_id=account_id)]

    async def create_profile(
        self,
        *,
        principal: Principal,
        name: str,
        avatar: str,
        language: str,
        maturity: int = 18,
        kids: bool = False,
        pin: str | None = None,
        client_ip: str = "",
    ) -> Profile:
        validation.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        await self._proofs.require(principal)
        pin_hash = await self._secrets.hash(pin) if pin else None
        plain = self._create_profile(principal.account_id, name=name, avatar=avatar, language=language)
        profile = msgspec.structs.replace(plain, maturity=maturity, kids=kids, has_pin=pin_hash is not None)
        added = StoredProfile(profile=profile, pin_hash=pin_hash)
        async with self._recording("profile-created", principal, client_ip, profile.profile_id):
            return await self._change(
                principal.account_id, profile.profile_id, lambda profiles: model.add_profile(profiles, added)
            )

    async def update_profile(
        self,
        *,
        principal: Principal,
        profile_id: ProfileId,
        name: str | None = None,
        avatar: str | None = None,
        language: str | None = None,
        maturity: int | None = None,
        kids: bool | None = None,
        pin: str | None = None,
        client_ip: str = "",
    ) -> Profile:
        validation.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        given = {"avatar": avatar, "language": language, "maturity": maturity, "kids": kids}
        given["name"] = None if name is None else validation.clean_name(name)
        changes = {field: value for field, value in given.items() if value is not None}
        if pin is not None or not model.may_change_freely(principal, profile_id, changes):
            await self._proofs.require(principal)
        model.find_profile(await self._accounts.profiles(account_id=principal.account_id), profile_id)
        pin_hash = await self._secrets.hash(pin) if pin else pin
        fields = [*changes, *([] if pin is None else ["pin"])]
        async with self._recording("profile-changed", principal, client_ip, profile_id, *fields):
            return await self._change(
                principal.account_id,
                profile_id,
                lambda profiles: model.change_profile(profiles, profile_id, pin_hash, changes),
            )

    async def remove_profile(self, *, principal: Principal, profile_id: ProfileId, client_ip: str = "") -> None:
        await self._proofs.require(principal)
        if profile_id not in [profile.profile_id for profile in await self.profiles(account_id=principal.account_id)]:
            return
        record = self._record(ProfileRemoved(account_id=principal.account_id, profile_id=profile_id), profile_id)

        def remove(profiles: Profiles) -> ProfilesChange:
            rest = model.remove_profile(profiles, profile_id)
            return ProfilesChange(profiles=rest, records=() if rest == profiles else (record,))

        async with self._recording("profile-removed", principal, client_ip, profile_id):
            await self._accounts.change_profiles(account_id=principal.account_id, change=remove)

    async def devices(self, *, account_id: AccountId) -> list[Device]:
        return await self._sign_ins.devices(account_id=account_id, now=self._clock.now())

    async def remove_device(self, *, principal: Principal, device_id: DeviceId, client_ip: str = "") -> None:
        await self._proofs.require(principal)
        account_id = principal.account_id
        if await self._sign_ins.find_device(account_id=account_id, device_id=device_id) is None:
            raise DeviceNotFound(device_id=device_id)
        record = self._record(SignInsEnded(account_id=account_id, device_id=device_id), account_id)
        async with self._recording("device-removed", principal, client_ip, device_id):
            await self._sign_ins.remove_device(account_id=account_id, device_id=device_id, record=record)

    def _recording(
        self, act: Act, principal: Principal, client_ip: str, *details: str
    ) -> AbstractAsyncContextManager[None]:
        """Record an act; of a change the entry names the changed fields, and not their values."""
        by = Actor(account_id=principal.account_id, client=client_ip)
        return self._audit.recording(act, by, principal.account_id, detail=" ".join(details))

    async def _change(
        self, account_id: AccountId, profile_id: ProfileId, change: Callable[[Profiles], Profiles]
    ) -> Profile:
        # The store may call `apply` several times; the last result is the one that was committed.
        results: list[Profiles] = []

        def apply(profiles: Profiles) -> ProfilesChange:
            results[:] = [change(profiles)]
            changed = model.list_changed(profiles, results[0])
            return ProfilesChange(profiles=results[0], records=tuple(map(self._record_change, changed)))

        await self._accounts.change_profiles(account_id=account_id, change=apply)
        return model.find_profile(results[0], profile_id).profile

    def _record_change(self, profile: Profile) -> FactRecord:
        return self._record(build_from(profile, ProfileChanged), profile.profile_id)
