"""Identity: rules and stores put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

import msgspec

from matinee.events.api import AccountOpened, AnyFact, FactRecord, ProfileRemoved, RefreshTokenReused, new_record
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
    TooManyAttempts,
    Viewer,
    WrongCredentials,
    WrongPin,
)
from matinee.identity.model import Credentials, KeptProfile, RefreshToken, SignIn
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
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Forbidden


class IdentityService:
    """Fulfils `Identity`. Access tokens are good for `access_ttl_s`; a sign-in ends unused after `refresh_ttl_s`."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        sign_ins: SignInStore,
        throttle: Throttle,
        secrets: Secrets,
        signer: Signer,
        clock: Clock,
        issuer: str = "matinee",
        audience: str = "matinee",
        access_ttl_s: int = 600,
        refresh_ttl_s: int = 30 * 86_400,
        refresh_grace_s: int = 10,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._throttle = throttle
        self._secrets = secrets
        self._signer = signer
        self._clock = clock
        self._named = {"iss": issuer, "aud": audience}
        self._access_ttl_s = access_ttl_s
        self._lifetime = timedelta(seconds=refresh_ttl_s)
        self._grace = timedelta(seconds=refresh_grace_s)
        self._entropy = entropy

    async def sign_up(self, *, email: str, password: str, name: str, language: str, device: DeviceInfo) -> Grant:
        model.check_sign_up(email, password, name, language)
        now = self._clock.now()
        account = Account(account_id=ids.generate(AccountId, now), email=model.email_key(email), created_at=now)
        profile = self._profile(account.account_id, name=name, avatar=model.FIRST_AVATAR, language=language)
        password_hash = await self._secrets.hash(model.password_key(password))
        await self._accounts.open_account(
            credentials=Credentials(account=account, password_hash=password_hash),
            profile=profile,
            records=(self._record(AccountOpened(account_id=account.account_id), account.account_id),),
        )
        return await self._begin(account, ids.generate(DeviceId, now), device)

    async def sign_in(self, *, email: str, password: str, device: DeviceInfo) -> Grant:
        address = model.email_key(email)
        held = await self._accounts.credentials(email=address)
        device_id = await self._known(held, device)
        subjects = self._subjects(address, device_id, device)
        await self._attempt(subjects)
        secret = model.password_key(password)
        right = await self._secrets.verify(held.password_hash if held else self._secrets.decoy, secret)
        if held is None or not right or held.account.status != "active":
            raise WrongCredentials
        await self._throttle.forgive(subjects=subjects)
        await self._rehash(held, secret)
        return await self._begin(held.account, device_id or ids.generate(DeviceId, self._clock.now()), device)

    async def refresh(self, *, refresh_token: str) -> Grant:
        token = model.refresh_token(refresh_token)
        fresh = RefreshToken(sign_in_id=token.sign_in_id, handle=token.handle, secret=self._entropy(32))
        now = self._clock.now()

        def turn(sign_in: SignIn) -> SignInChange:
            kept = model.turned(
                sign_in, token, model.digest(fresh.secret), now, grace=self._grace, lifetime=self._lifetime
            )
            return SignInChange(sign_in=kept, records=() if kept else (self._reused(sign_in),))

        change = await self._sign_ins.change(sign_in_id=token.sign_in_id, now=now, change=turn)
        if change is None or change.sign_in is None:
            raise TokenRejected
        return await self._granted(change.sign_in, fresh)

    async def choose_profile(
        self, *, account_id: AccountId, sign_in_id: SignInId, profile_id: ProfileId, pin: str | None = None
    ) -> Grant:
        member = await self._accounts.member(account_id=account_id, profile_id=profile_id)
        if member is None or member.kept is None:
            raise ProfileNotFound(profile_id=profile_id)
        if member.account.status != "active":
            raise TokenRejected
        await self._check_pin(member.kept, pin)
        now = self._clock.now()

        def choose(sign_in: SignIn) -> SignInChange:
            if sign_in.account_id != account_id or sign_in.expires_at <= now:
                raise TokenRejected
            return SignInChange(sign_in=msgspec.structs.replace(sign_in, profile_id=profile_id))

        change = await self._sign_ins.change(sign_in_id=sign_in_id, now=now, change=choose)
        if change is None or change.sign_in is None:
            raise TokenRejected
        return self._grant(member, change.sign_in)

    async def sign_out(self, *, sign_in_id: SignInId) -> None:
        await self._sign_ins.end(sign_in_id=sign_in_id)

    async def sign_out_everywhere(self, *, account_id: AccountId) -> int:
        return await self._sign_ins.end_all(account_id=account_id)

    async def account(self, *, account_id: AccountId) -> Account:
        if (member := await self._accounts.member(account_id=account_id, profile_id=None)) is None:
            raise Forbidden
        return member.account

    async def grant_role(self, *, email: str, role: str) -> Account:
        held = await self._accounts.credentials(email=model.email_key(email))
        if held is None:
            raise WrongCredentials

        def given(old: Credentials) -> Credentials:
            roles = tuple(sorted({*old.account.roles, role}))
            return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, roles=roles))

        if (new := await self._accounts.change_account(account_id=held.account.account_id, change=given)) is None:
            raise WrongCredentials
        return new.account

    async def profiles(self, *, account_id: AccountId) -> list[Profile]:
        return [kept.profile for kept in await self._accounts.profiles(account_id=account_id)]

    async def create_profile(
        self,
        *,
        account_id: AccountId,
        name: str,
        avatar: str,
        language: str,
        maturity: int = 18,
        kids: bool = False,
        pin: str | None = None,
    ) -> Profile:
        model.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        pin_hash = await self._secrets.hash(pin) if pin else None
        plain = self._profile(account_id, name=name, avatar=avatar, language=language)
        profile = msgspec.structs.replace(plain, maturity=maturity, kids=kids, has_pin=pin_hash is not None)
        added = KeptProfile(profile=profile, pin_hash=pin_hash)
        return await self._change(account_id, profile.profile_id, lambda kept: model.with_profile(kept, added))

    async def update_profile(
        self,
        *,
        account_id: AccountId,
        profile_id: ProfileId,
        name: str | None = None,
        avatar: str | None = None,
        language: str | None = None,
        maturity: int | None = None,
        kids: bool | None = None,
        pin: str | None = None,
    ) -> Profile:
        model.check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin)
        pin_hash = await self._secrets.hash(pin) if pin else pin
        asked = {"avatar": avatar, "language": language, "maturity": maturity, "kids": kids}
        asked["name"] = None if name is None else model.cleaned_name(name)
        changes = {field: value for field, value in asked.items() if value is not None}
        return await self._change(
            account_id, profile_id, lambda kept: model.with_change(kept, profile_id, pin_hash, changes)
        )

    async def remove_profile(self, *, account_id: AccountId, profile_id: ProfileId) -> None:
        record = self._record(ProfileRemoved(account_id=account_id, profile_id=profile_id), profile_id)

        def remove(kept: Profiles) -> ProfilesChange:
            rest = model.without_profile(kept, profile_id)
            return ProfilesChange(profiles=rest, records=() if rest == kept else (record,))

        await self._accounts.change_profiles(account_id=account_id, change=remove)

    async def devices(self, *, account_id: AccountId) -> list[Device]:
        return await self._sign_ins.devices(account_id=account_id, now=self._clock.now())

    async def remove_device(self, *, account_id: AccountId, device_id: DeviceId) -> None:
        if not await self._sign_ins.remove_device(account_id=account_id, device_id=device_id):
            raise DeviceNotFound(device_id=device_id)

    async def viewer(self, *, account_id: AccountId, profile_id: ProfileId) -> Viewer:
        # Never remembered: a closed account or a lowered maturity holds from the next play on, on every instance.
        member = await self._accounts.member(account_id=account_id, profile_id=profile_id)
        if member is None or member.kept is None:
            raise ProfileNotFound(profile_id=profile_id)
        if member.account.status != "active":
            raise Forbidden(detail="This account is closed.")
        return Viewer(account=member.account, profile=member.kept.profile)

    async def public_keys(self) -> PublicKeys:
        return msgspec.convert({"keys": self._signer.public_keys()}, PublicKeys)

    async def _known(self, held: Credentials | None, device: DeviceInfo) -> DeviceId | None:
        if device.device_id is None:
            return None
        # Asked for nobody too, so that an address without an account costs the same.
        account_id = held.account.account_id if held else AccountId("")
        devices = await self._sign_ins.devices(account_id=account_id, now=self._clock.now())
        return next((d.device_id for d in devices if d.device_id == device.device_id), None)

    def _subjects(self, address: str, device_id: DeviceId | None, device: DeviceInfo) -> tuple[str, ...]:
        # A device that the account knows has tries of its own: a stranger's guessing does not lock its owner out.
        if device_id is not None:
            return (f"device:{device_id}",)
        email = f"email:{model.digest(address.encode()).hex()}"
        return (email,) if device.device_id is None else (email, f"stranger:{device.device_id[:64]}")

    async def _attempt(self, subjects: tuple[str, ...]) -> None:
        if wait_ms := await self._throttle.attempt(subjects=subjects, now=self._clock.now()):
            raise TooManyAttempts(retry_after_ms=wait_ms)

    async def _check_pin(self, kept: KeptProfile, pin: str | None) -> None:
        if kept.pin_hash is None:
            return
        if not pin:
            raise WrongPin(detail="This profile asks for its PIN.")
        subjects = (f"pin:{kept.profile.profile_id}",)
        await self._attempt(subjects)
        if not await self._secrets.verify(kept.pin_hash, pin[:64]):
            raise WrongPin
        await self._throttle.forgive(subjects=subjects)

    async def _rehash(self, held: Credentials, secret: str) -> None:
        if not self._secrets.outdated(held.password_hash):
            return
        fresh = await self._secrets.hash(secret)

        def renewed(old: Credentials) -> Credentials:
            same = old.password_hash == held.password_hash
            return msgspec.structs.replace(old, password_hash=fresh) if same else old

        await self._accounts.change_account(account_id=held.account.account_id, change=renewed)

    async def _begin(self, account: Account, device_id: DeviceId, device: DeviceInfo) -> Grant:
        now = self._clock.now()
        sign_in_id = ids.generate(SignInId, now)
        token = RefreshToken(sign_in_id=sign_in_id, handle=self._entropy(16), secret=self._entropy(32))
        sign_in = SignIn(
            sign_in_id=sign_in_id,
            account_id=account.account_id,
            device_id=device_id,
            handle=model.digest(token.handle),
            live=(model.digest(token.secret),),
            turned_at=now,
            expires_at=now + self._lifetime,
        )
        shown = Device(
            device_id=device_id, name=model.device_name(device), kind=device.kind, last_seen_at=now, signed_in=True
        )
        await self._sign_ins.begin(sign_in=sign_in, device=shown)
        return self._grant(Member(account=account), sign_in, token)

    async def _granted(self, sign_in: SignIn, token: RefreshToken) -> Grant:
        member = await self._accounts.member(account_id=sign_in.account_id, profile_id=sign_in.profile_id)
        if member is None or member.account.status != "active":
            raise TokenRejected
        return self._grant(member, sign_in, token)

    def _grant(self, member: Member, sign_in: SignIn, token: RefreshToken | None = None) -> Grant:
        profile_id = member.kept.profile.profile_id if member.kept else None
        issued_at_s = int(self._clock.now().timestamp())
        claims = {
            **self._named,
            "sub": sign_in.account_id,
            "iat": issued_at_s,
            "exp": issued_at_s + self._access_ttl_s,
            "profile": profile_id,
            "device": sign_in.device_id,
            "sign_in": sign_in.sign_in_id,
            "roles": member.account.roles,
        }
        return Grant(
            access_token=self._signer.sign(claims),
            expires_in_s=self._access_ttl_s,
            account_id=sign_in.account_id,
            device_id=sign_in.device_id,
            sign_in_id=sign_in.sign_in_id,
            profile_id=profile_id,
            roles=member.account.roles,
            refresh_token=token.text() if token else "",
            refresh_expires_in_s=int(self._lifetime.total_seconds()) if token else 0,
        )

    def _profile(self, account_id: AccountId, *, name: str, avatar: str, language: str) -> Profile:
        return Profile(
            profile_id=ids.generate(ProfileId, self._clock.now()),
            account_id=account_id,
            name=model.cleaned_name(name),
            avatar=avatar,
            language=language,
        )

    async def _change(
        self, account_id: AccountId, profile_id: ProfileId, change: Callable[[Profiles], Profiles]
    ) -> Profile:
        # The store answers after its commit; what the last run of the change made is what was kept.
        made: list[Profiles] = []

        def apply(kept: Profiles) -> ProfilesChange:
            made[:] = [change(kept)]
            return ProfilesChange(profiles=made[0])

        await self._accounts.change_profiles(account_id=account_id, change=apply)
        return model.found(made[0], profile_id).profile

    def _reused(self, sign_in: SignIn) -> FactRecord:
        fact = RefreshTokenReused(account_id=sign_in.account_id, device_id=sign_in.device_id)
        return self._record(fact, sign_in.account_id)

    def _record(self, fact: AnyFact, key: str) -> FactRecord:
        return new_record(fact, key=key, now=self._clock.now())
