"""The identity service: applies the rules to accounts, sign-ins and attempts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

import msgspec

from matinee.events.api import (
    AccountOpened,
    AnyFact,
    FactRecord,
    ProfileChanged,
    ProfileRemoved,
    RefreshTokenReused,
    SignInsEnded,
    new_record,
)
from matinee.identity import model
from matinee.identity.api import (
    Account,
    Device,
    DeviceInfo,
    DeviceNotFound,
    Grant,
    Profile,
    ProfileNotFound,
    PublicKeys,
    TokenRejected,
    Viewer,
    WrongCredentials,
    WrongPin,
)
from matinee.identity.model import Credentials, RefreshToken, SignIn, StoredProfile
from matinee.identity.ports import (
    AccountStore,
    Member,
    Profiles,
    ProfilesChange,
    Secrets,
    Signer,
    SignInChange,
    SignInStore,
    Throttle,
)
from matinee.identity.service.accounts import Accounts
from matinee.identity.service.grants import GrantIssuer
from matinee.identity.service.proofs import Proofs
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.network import to_network
from matinee.kit.problem import Forbidden
from matinee.kit.structs import build_from


class IdentityService:
    """Implements `Identity`.

    Access tokens expire after `access_ttl_s`, an unused sign-in after `refresh_ttl_s`. A proof that an adult is present
    is valid for `proof_s`.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        sign_ins: SignInStore,
        throttle: Throttle,
        secrets: Secrets,
        signer: Signer,
        clock: Clock,
        access_ttl_s: int = 600,
        refresh_ttl_s: int = 30 * 86_400,
        refresh_grace_s: int = 10,
        proof_s: int = 600,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._secrets = secrets
        self._signer = signer
        self._clock = clock
        self._proofs = Proofs(sign_ins=sign_ins, throttle=throttle, secrets=secrets, clock=clock, valid_s=proof_s)
        self._changes = Accounts(accounts=accounts, sign_ins=sign_ins, secrets=secrets, clock=clock)
        self._grants = GrantIssuer(signer=signer, clock=clock, access_ttl_s=access_ttl_s, refresh_ttl_s=refresh_ttl_s)
        self._lifetime = timedelta(seconds=refresh_ttl_s)
        self._grace = timedelta(seconds=refresh_grace_s)
        self._entropy = entropy

    async def sign_up(self, *, email: str, password: str, name: str, language: str, device: DeviceInfo) -> Grant:
        model.check_sign_up(email, password, name, language)
        now = self._clock.now()
        account = Account(account_id=ids.generate(AccountId, now), email=model.normalize_email(email), created_at=now)
        profile = self._create_profile(account.account_id, name=name, avatar=model.FIRST_AVATAR, language=language)
        password_hash = await self._secrets.hash(model.normalize_password(password))
        await self._accounts.open_account(
            credentials=Credentials(account=account, password_hash=password_hash),
            profile=profile,
            records=(self._record(AccountOpened(account_id=account.account_id), account.account_id),),
        )
        return await self._begin(Member(account=account), ids.generate(DeviceId, now), device)

    async def sign_in(self, *, email: str, password: str, device: DeviceInfo, client_ip: str = "") -> Grant:
        address = model.normalize_email(email)
        credentials = await self._accounts.credentials(email=address)
        device_id = await self._find_device(credentials, device)
        subjects = model.list_sign_in_subjects(address, device_id, device, to_network(client_ip))
        is_right = await self._proofs.verify_password(credentials, password, subjects=subjects)
        if credentials is None or not is_right:
            raise WrongCredentials
        await self._rehash(credentials, model.normalize_password(password))
        member = Member(account=credentials.account)
        return await self._begin(member, device_id or ids.generate(DeviceId, self._clock.now()), device)

    async def refresh(self, *, refresh_token: str) -> Grant:
        token = model.parse_refresh_token(refresh_token)
        fresh = RefreshToken(sign_in_id=token.sign_in_id, handle=token.handle, secret=self._entropy(32))
        now = self._clock.now()

        def rotate(sign_in: SignIn) -> SignInChange:
            rotated = model.rotate(
                sign_in, token, model.hash_secret(fresh.secret), now, grace=self._grace, lifetime=self._lifetime
            )
            return SignInChange(sign_in=rotated, records=() if rotated else self._record_reuse(sign_in))

        change = await self._sign_ins.change(sign_in_id=token.sign_in_id, now=now, change=rotate)
        if change is None or change.sign_in is None:
            raise TokenRejected
        return await self._grant_sign_in(change.sign_in, fresh)

    async def choose_profile(
        self, *, account_id: AccountId, sign_in_id: SignInId, profile_id: ProfileId, pin: str | None = None
    ) -> Grant:
        member = await self._accounts.member(account_id=account_id, profile_id=profile_id)
        if member is None or member.profile is None:
            raise ProfileNotFound(profile_id=profile_id)
        if member.account.status != "active":
            raise TokenRejected
        await self._proofs.check_pin(member.profile, pin)
        now, profile, with_pin = self._clock.now(), member.profile.profile, member.profile.pin_hash is not None

        def choose(sign_in: SignIn) -> SignInChange:
            model.check_sign_in(sign_in, account_id, now)
            return SignInChange(sign_in=model.choose_profile(sign_in, profile, now, with_pin=with_pin))

        change = await self._sign_ins.change(sign_in_id=sign_in_id, now=now, change=choose)
        if change is None or change.sign_in is None:
            raise TokenRejected
        return self._grants.issue(member, change.sign_in)

    async def prove(
        self,
        *,
        principal: Principal,
        password: str | None = None,
        profile_id: ProfileId | None = None,
        pin: str | None = None,
    ) -> None:
        if profile_id is not None:
            await self._check_adults_pin(principal.account_id, profile_id, pin)
        else:
            account = await self.account(account_id=principal.account_id)
            credentials = await self._accounts.credentials(email=account.email)
            await self._proofs.check_password(credentials, password or "", principal)
        await self._proofs.record(principal)

    async def verify_sign_in(self, *, principal: Principal) -> Principal:
        sign_in, member = await asyncio.gather(
            self._proofs.require_sign_in(principal.account_id, principal.sign_in_id),
            self._accounts.member(account_id=principal.account_id, profile_id=principal.profile_id),
        )
        if member is None or member.account.status != "active":
            raise TokenRejected
        profile = member.profile.profile if member.profile else None
        rights = model.get_rights(member.account, profile, principal.profile_id or sign_in.profile_id)
        return msgspec.structs.replace(principal, is_adult=rights.is_adult, roles=rights.roles)

    async def sign_out(self, *, account_id: AccountId, sign_in_id: SignInId) -> None:
        await self._changes.end_sign_ins(account_id, sign_in_id)

    async def sign_out_everywhere(self, *, principal: Principal) -> int:
        await self._proofs.require(principal)
        return await self._changes.end_sign_ins(principal.account_id)

    async def change_password(self, *, principal: Principal, password: str) -> Grant:
        await self._proofs.require(principal)
        member = await self._accounts.member(account_id=principal.account_id, profile_id=principal.profile_id)
        if member is None:
            raise Forbidden
        account = member.account
        await self._changes.set_password(account, password)
        devices = await self._sign_ins.devices(account_id=account.account_id, now=self._clock.now())
        device = next((one for one in devices if one.device_id == principal.device_id), None)
        info = DeviceInfo(name="") if device is None else build_from(device, DeviceInfo)
        return await self._begin(member, principal.device_id, info)

    async def account(self, *, account_id: AccountId) -> Account:
        if (member := await self._accounts.member(account_id=account_id, profile_id=None)) is None:
            raise Forbidden
        return member.account

    async def find_account(self, *, email: str) -> Account:
        return await self._changes.find(email)

    async def grant_role(self, *, email: str, role: str) -> Account:
        return await self._changes.change_roles(email, lambda roles: roles | {role})

    async def revoke_role(self, *, email: str, role: str) -> Account:
        return await self._changes.change_roles(email, lambda roles: roles - {role})

    async def reset_password(self, *, email: str, password: str) -> Account:
        account = await self._changes.find(email)
        await self._changes.set_password(account, password)
        return account

    async def end_sign_ins(self, *, email: str) -> int:
        return await self._changes.end_sign_ins((await self._changes.find(email)).account_id)

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
    ) -> Profile:
        model.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        await self._proofs.require(principal)
        pin_hash = await self._secrets.hash(pin) if pin else None
        plain = self._create_profile(principal.account_id, name=name, avatar=avatar, language=language)
        profile = msgspec.structs.replace(plain, maturity=maturity, kids=kids, has_pin=pin_hash is not None)
        added = StoredProfile(profile=profile, pin_hash=pin_hash)
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
    ) -> Profile:
        model.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        given = {"avatar": avatar, "language": language, "maturity": maturity, "kids": kids}
        given["name"] = None if name is None else model.clean_name(name)
        changes = {field: value for field, value in given.items() if value is not None}
        if pin is not None or not model.may_change_freely(principal, profile_id, changes):
            await self._proofs.require(principal)
        pin_hash = await self._secrets.hash(pin) if pin else pin
        return await self._change(
            principal.account_id,
            profile_id,
            lambda profiles: model.change_profile(profiles, profile_id, pin_hash, changes),
        )

    async def remove_profile(self, *, principal: Principal, profile_id: ProfileId) -> None:
        await self._proofs.require(principal)
        record = self._record(ProfileRemoved(account_id=principal.account_id, profile_id=profile_id), profile_id)

        def remove(profiles: Profiles) -> ProfilesChange:
            rest = model.remove_profile(profiles, profile_id)
            return ProfilesChange(profiles=rest, records=() if rest == profiles else (record,))

        await self._accounts.change_profiles(account_id=principal.account_id, change=remove)

    async def devices(self, *, account_id: AccountId) -> list[Device]:
        return await self._sign_ins.devices(account_id=account_id, now=self._clock.now())

    async def remove_device(self, *, principal: Principal, device_id: DeviceId) -> None:
        await self._proofs.require(principal)
        account_id = principal.account_id
        record = self._record(SignInsEnded(account_id=account_id, device_id=device_id), account_id)
        if not await self._sign_ins.remove_device(account_id=account_id, device_id=device_id, record=record):
            raise DeviceNotFound(device_id=device_id)

    async def viewer(
        self, *, account_id: AccountId, profile_id: ProfileId, sign_in_id: SignInId | None = None
    ) -> Viewer:
        # Not cached: a closed account or a lowered maturity must apply to the next play on every instance.
        member, _ = await asyncio.gather(
            self._accounts.member(account_id=account_id, profile_id=profile_id),
            self._check_sign_in(account_id, sign_in_id),
        )
        if member is None or member.profile is None:
            raise ProfileNotFound(profile_id=profile_id)
        if member.account.status != "active":
            raise Forbidden(detail="This account is closed.")
        return Viewer(account=member.account, profile=member.profile.profile)

    async def public_keys(self) -> PublicKeys:
        return msgspec.convert({"keys": self._signer.public_keys()}, PublicKeys)

    async def _find_device(self, credentials: Credentials | None, device: DeviceInfo) -> DeviceId | None:
        if device.device_id is None:
            return None
        # Also read without an account, so that response times do not reveal which addresses have one.
        account_id = credentials.account.account_id if credentials else AccountId("")
        devices = await self._sign_ins.devices(account_id=account_id, now=self._clock.now())
        return next((d.device_id for d in devices if d.device_id == device.device_id), None)

    async def _rehash(self, credentials: Credentials, secret: str) -> None:
        if not self._secrets.needs_rehash(credentials.password_hash):
            return
        fresh = await self._secrets.hash(secret)

        def renew_hash(old: Credentials) -> Credentials:
            same = old.password_hash == credentials.password_hash
            return msgspec.structs.replace(old, password_hash=fresh) if same else old

        await self._accounts.change_account(account_id=credentials.account.account_id, change=renew_hash)

    async def _begin(self, member: Member, device_id: DeviceId, device: DeviceInfo) -> Grant:
        now = self._clock.now()
        sign_in_id = ids.generate(SignInId, now)
        token = RefreshToken(sign_in_id=sign_in_id, handle=self._entropy(16), secret=self._entropy(32))
        sign_in = SignIn(
            sign_in_id=sign_in_id,
            account_id=member.account.account_id,
            device_id=device_id,
            profile_id=member.profile.profile.profile_id if member.profile else None,
            handle=model.hash_secret(token.handle),
            live=(model.hash_secret(token.secret),),
            turned_at=now,
            expires_at=now + self._lifetime,
            proved_at=now,
        )
        name = model.clean_device_name(device)
        stored_device = Device(device_id=device_id, name=name, kind=device.kind, last_seen_at=now, signed_in=True)
        await self._sign_ins.begin(sign_in=sign_in, device=stored_device)
        return self._grants.issue(member, sign_in, token)

    async def _grant_sign_in(self, sign_in: SignIn, token: RefreshToken) -> Grant:
        member = await self._accounts.member(account_id=sign_in.account_id, profile_id=sign_in.profile_id)
        if member is None or member.account.status != "active":
            raise TokenRejected
        return self._grants.issue(member, sign_in, token)

    def _create_profile(self, account_id: AccountId, *, name: str, avatar: str, language: str) -> Profile:
        return Profile(
            profile_id=ids.generate(ProfileId, self._clock.now()),
            account_id=account_id,
            name=model.clean_name(name),
            avatar=avatar,
            language=language,
        )

    async def _check_sign_in(self, account_id: AccountId, sign_in_id: SignInId | None) -> None:
        if sign_in_id is not None:
            await self._proofs.require_sign_in(account_id, sign_in_id)

    async def _check_adults_pin(self, account_id: AccountId, profile_id: ProfileId, pin: str | None) -> None:
        stored = model.find_profile(await self._accounts.profiles(account_id=account_id), profile_id)
        if stored.pin_hash is None or not model.is_adult(stored.profile):
            raise WrongPin(detail="This is not the profile of an adult with a PIN.")
        await self._proofs.check_pin(stored, pin)

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

    def _record_reuse(self, sign_in: SignIn) -> tuple[FactRecord, ...]:
        facts = (build_from(sign_in, RefreshTokenReused), build_from(sign_in, SignInsEnded))
        return tuple(self._record(fact, sign_in.account_id) for fact in facts)

    def _record(self, fact: AnyFact, key: str) -> FactRecord:
        return new_record(fact, key=key, now=self._clock.now())
