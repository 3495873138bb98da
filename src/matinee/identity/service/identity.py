"""The identity service: applies the rules to accounts, sign-ins and attempts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta

import msgspec

from matinee.events.api import (
    FactRecord,
    RefreshTokenReused,
    SignInsEnded,
)
from matinee.identity import model
from matinee.identity.api import (
    Account,
    Actor,
    Device,
    DeviceInfo,
    Grant,
    ProfileNotFound,
    PublicKeys,
    SignUpClosed,
    TokenRejected,
    Viewer,
    WrongCredentials,
    WrongPassword,
    WrongPin,
)
from matinee.identity.model import Credentials, RefreshToken, SignIn, StoredProfile, validation
from matinee.identity.ports import (
    AccountStore,
    AuditLog,
    FindWeakness,
    Member,
    Secrets,
    Signer,
    SignInChange,
    SignInStore,
    Throttle,
)
from matinee.identity.service.grants import GrantIssuer
from matinee.identity.service.household import Household
from matinee.identity.service.proofs import Proofs
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.network import to_network
from matinee.kit.problem import Forbidden
from matinee.kit.structs import build_from


class IdentityService(Household):
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
        audit: AuditLog,
        secrets: Secrets,
        signer: Signer,
        find_weakness: FindWeakness,
        clock: Clock,
        is_sign_up_open: bool = True,
        access_ttl_s: int = 600,
        refresh_ttl_s: int = 30 * 86_400,
        refresh_grace_s: int = 60,
        proof_s: int = 600,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(
            accounts=accounts,
            sign_ins=sign_ins,
            audit=audit,
            secrets=secrets,
            signer=signer,
            find_weakness=find_weakness,
            clock=clock,
        )
        self._is_sign_up_open = is_sign_up_open
        self._proofs = Proofs(sign_ins=sign_ins, throttle=throttle, secrets=secrets, clock=clock, valid_s=proof_s)
        self._grants = GrantIssuer(signer=signer, clock=clock, access_ttl_s=access_ttl_s, refresh_ttl_s=refresh_ttl_s)
        self._lifetime = timedelta(seconds=refresh_ttl_s)
        self._grace = timedelta(seconds=refresh_grace_s)
        self._entropy = entropy

    async def is_sign_up_open(self) -> bool:
        return self._is_sign_up_open

    async def sign_up(
        self, *, email: str, password: str, name: str, language: str, device: DeviceInfo, client_ip: str = ""
    ) -> Grant:
        if not self._is_sign_up_open:
            raise SignUpClosed
        account = await self._prepare_account(email, password, name, language)
        by = Actor(account_id=account.account_id, client=client_ip)
        async with self._audit.recording("sign-up", by, account.account_id):
            credentials = await self._open_account(account, password, name, language)
        return await self._begin(credentials, ids.generate(DeviceId, account.created_at), device)

    async def sign_in(self, *, email: str, password: str, device: DeviceInfo, client_ip: str = "") -> Grant:
        address = validation.normalize_email(email)
        credentials = await self._accounts.credentials(email=address)
        device_id = await self._find_device(credentials, device)
        subjects = model.list_sign_in_subjects(address, device_id, device, to_network(client_ip))
        is_right = await self._proofs.verify_password(credentials, password, subjects=subjects)
        account_id = credentials.account.account_id if credentials else None
        if credentials is None or not is_right:
            await self._audit.record_if_possible("sign-in-failed", Actor(client=client_ip), account_id)
            raise WrongCredentials
        by = Actor(account_id=account_id, client=client_ip)
        await self._audit.record_if_possible("sign-in", by, account_id, detail=device.kind)
        credentials = await self._rehash(credentials, validation.normalize_password(password))
        return await self._begin(credentials, device_id or ids.generate(DeviceId, self._clock.now()), device)

    async def refresh(self, *, refresh_token: str, client_ip: str = "") -> Grant:
        token = model.parse_refresh_token(refresh_token)
        fresh = RefreshToken(sign_in_id=token.sign_in_id, handle=token.handle, secret=self._entropy(32))
        now = self._clock.now()

        def rotate(sign_in: SignIn) -> SignInChange:
            rotated = model.rotate(
                sign_in, token, model.hash_secret(fresh.secret), now, grace=self._grace, lifetime=self._lifetime
            )
            return SignInChange(sign_in=rotated, records=() if rotated else self._record_reuse(sign_in))

        change = await self._sign_ins.change(sign_in_id=token.sign_in_id, now=now, change=rotate)
        if change is not None and change.sign_in is None:
            await self._audit.record_if_possible(
                "token-reused", Actor(client=client_ip), AccountId(change.records[0].key)
            )
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
        await self._proofs.check_pin(member.profile, pin, sign_in_id)
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
        client_ip: str = "",
    ) -> None:
        await self._check_child_is_not_here(principal)
        try:
            if profile_id is not None:
                await self._check_adults_pin(principal, profile_id, pin)
            else:
                account = await self.account(account_id=principal.account_id)
                credentials = await self._accounts.credentials(email=account.email)
                await self._proofs.check_password(credentials, password or "", principal)
        except (WrongPassword, WrongPin):
            by = Actor(account_id=principal.account_id, client=client_ip)
            await self._audit.record("proof-failed", by, principal.account_id, detail=principal.device_id)
            raise
        await self._proofs.record(principal)

    async def require_proof(self, *, principal: Principal) -> None:
        await self._proofs.require(principal)

    async def verify_sign_in(self, *, principal: Principal) -> Principal:
        account_id = principal.account_id
        sign_in = await self._proofs.require_sign_in(account_id, principal.sign_in_id)
        # A token without a profile has the rights of the profile that was chosen in another tab since.
        chosen = principal.profile_id or sign_in.profile_id
        member = await self._accounts.member(account_id=account_id, profile_id=chosen)
        if member is None or member.account.status != "active":
            raise TokenRejected
        rights = model.get_rights(member.account, member.profile.profile if member.profile else None, chosen)
        return msgspec.structs.replace(principal, is_adult=rights.is_adult, roles=rights.roles)

    async def sign_out(self, *, account_id: AccountId, sign_in_id: SignInId, client_ip: str = "") -> None:
        by = Actor(account_id=account_id, client=client_ip)
        await self._audit.record_if_possible("sign-out", by, account_id)
        await self._end_sign_ins(account_id, sign_in_id)

    async def sign_out_everywhere(self, *, principal: Principal, client_ip: str = "") -> int:
        await self._proofs.require(principal)
        async with self._recording("sign-ins-ended", principal, client_ip, principal.device_id):
            return await self._end_sign_ins(principal.account_id)

    async def change_password(self, *, principal: Principal, password: str, client_ip: str = "") -> Grant:
        account_id = principal.account_id
        member = await self._accounts.member(account_id=account_id, profile_id=principal.profile_id)
        current = None if member is None else await self._accounts.credentials(email=member.account.email)
        if member is None or current is None:
            raise Forbidden
        # After the password was read: one that is reset from here on is not replaced.
        await self._proofs.require(principal)
        await self._check_password(password, member.account.email)
        async with self._recording("password-changed", principal, client_ip, principal.device_id):
            credentials = await self._set_password(account_id, password, replacing=current.password_hash)
        device = await self._sign_ins.find_device(account_id=account_id, device_id=principal.device_id)
        return await self._begin(credentials, principal.device_id, device or DeviceInfo(name=""), member.profile)

    async def account(self, *, account_id: AccountId) -> Account:
        if (member := await self._accounts.member(account_id=account_id, profile_id=None)) is None:
            raise Forbidden
        return member.account

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
        known = await self._sign_ins.find_device(account_id=account_id, device_id=device.device_id)
        return device.device_id if known else None

    async def _rehash(self, credentials: Credentials, secret: str) -> Credentials:
        """Renew the hash of the right password if it is weaker than today's. Raises WrongCredentials."""
        if not self._secrets.needs_rehash(credentials.password_hash):
            return credentials
        fresh = await self._secrets.hash(secret)

        def renew_hash(old: Credentials) -> Credentials:
            same = old.password_hash == credentials.password_hash
            return msgspec.structs.replace(old, password_hash=fresh) if same else old

        account_id = credentials.account.account_id
        current = await self._accounts.change_account(account_id=account_id, change=renew_hash)
        if current is None or not await self._secrets.verify(current.password_hash, secret):
            raise WrongCredentials
        return current

    async def _begin(
        self, credentials: Credentials, device_id: DeviceId, device: DeviceInfo, profile: StoredProfile | None = None
    ) -> Grant:
        member, now = Member(account=credentials.account, profile=profile), self._clock.now()
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
        name = validation.clean_device_name(device)
        stored_device = Device(device_id=device_id, name=name, kind=device.kind, last_seen_at=now, signed_in=True)
        await self._sign_ins.begin(sign_in=sign_in, device=stored_device)
        await self._check_unchanged(credentials, sign_in_id)
        return self._grants.issue(member, sign_in, token)

    async def _check_unchanged(self, credentials: Credentials, sign_in_id: SignInId) -> None:
        """End a new sign-in whose account was closed, or got another password, before the sign-in was stored.

        Those changes end the sign-ins that are stored. Raises WrongCredentials.
        """
        account_id = credentials.account.account_id
        current = await self._accounts.credentials(email=credentials.account.email)
        if current is None or current.account.account_id != account_id or current.account.status == "closed":
            await self._erase(account_id)
        elif current.password_hash != credentials.password_hash:
            await self._end_sign_ins(account_id, sign_in_id)
        else:
            return
        raise WrongCredentials

    async def _grant_sign_in(self, sign_in: SignIn, token: RefreshToken) -> Grant:
        member = await self._accounts.member(account_id=sign_in.account_id, profile_id=sign_in.profile_id)
        if member is None or member.account.status != "active":
            raise TokenRejected
        return self._grants.issue(member, sign_in, token)

    async def _check_sign_in(self, account_id: AccountId, sign_in_id: SignInId | None) -> None:
        if sign_in_id is not None:
            await self._proofs.require_sign_in(account_id, sign_in_id)

    async def _check_adults_pin(self, principal: Principal, profile_id: ProfileId, pin: str | None) -> None:
        stored = model.find_profile(await self._accounts.profiles(account_id=principal.account_id), profile_id)
        if stored.pin_hash is None or not model.is_adult(stored.profile):
            raise WrongPin(detail="This is not the profile of an adult with a PIN.")
        await self._proofs.check_pin(stored, pin, principal.sign_in_id)

    async def _check_child_is_not_here(self, principal: Principal) -> None:
        """Refuse an adult's proof where a child's profile was chosen since on the same device, in another tab."""
        sign_in = await self._proofs.require_sign_in(principal.account_id, principal.sign_in_id)
        member = await self._accounts.member(account_id=principal.account_id, profile_id=sign_in.profile_id)
        if principal.is_adult and member and member.profile and not model.is_adult(member.profile.profile):
            raise Forbidden(detail="A child's profile was chosen on this device. Choose your own profile again.")

    def _record_reuse(self, sign_in: SignIn) -> tuple[FactRecord, ...]:
        facts = (build_from(sign_in, RefreshTokenReused), build_from(sign_in, SignInsEnded))
        return tuple(self._record(fact, sign_in.account_id) for fact in facts)
