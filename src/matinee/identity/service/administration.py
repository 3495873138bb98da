"""What is done to accounts: by operators, and by their owners when they change a password or close the account."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from matinee.events.api import (
    AccountClosed,
    AccountOpened,
    AnyFact,
    FactRecord,
    ProfileRemoved,
    SignInsEnded,
    new_record,
)
from matinee.identity import model
from matinee.identity.api import (
    Account,
    AccountDetails,
    AccountExport,
    AccountNotFound,
    Actor,
    AuditEntry,
    EmailTaken,
    Profile,
    RotatedTooSoon,
    TokenRejected,
)
from matinee.identity.model import Credentials, validation
from matinee.identity.ports import AccountStore, AuditLog, FindWeakness, Profiles, Secrets, Signer, SignInStore
from matinee.identity.service.audit import Audit
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, ProfileId, SignInId
from matinee.kit.page import Page, make_cursor, parse_cursor
from matinee.kit.structs import build_from

OPERATOR = "operator"
_PAGE = 50


class Administration:
    """The part of `Identity` that finds, changes and closes accounts. Its changes are in the audit log."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        sign_ins: SignInStore,
        audit: AuditLog,
        secrets: Secrets,
        signer: Signer,
        find_weakness: FindWeakness,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._audit = Audit(log=audit, clock=clock)
        self._secrets = secrets
        self._signer = signer
        self._find_weakness = find_weakness
        self._clock = clock

    async def find_account(self, *, email: str) -> Account:
        credentials = await self._accounts.credentials(email=validation.normalize_email(email))
        if credentials is None:
            raise AccountNotFound(email=email)
        return credentials.account

    async def list_accounts(self, *, query: str = "", cursor: str | None = None) -> Page[Account]:
        after = None
        if cursor is not None:
            at, (account_id,) = parse_cursor(cursor, 1)
            after = at, AccountId(account_id)
        found = await self._accounts.list_accounts(query=query.strip().lower(), after=after, limit=_PAGE + 1)
        page, has_more = found[:_PAGE], len(found) > _PAGE
        return Page(items=page, next_cursor=make_cursor(page[-1].created_at, page[-1].account_id) if has_more else None)

    async def describe_account(self, *, account_id: AccountId) -> AccountDetails:
        return AccountDetails(
            account=await self._require_account(account_id),
            profiles=[stored.profile for stored in await self._accounts.profiles(account_id=account_id)],
            devices=await self._sign_ins.devices(account_id=account_id, now=self._clock.now()),
        )

    async def create_account(
        self, *, by: Actor, email: str, password: str, name: str, language: str = "en", roles: tuple[str, ...] = ()
    ) -> Account:
        account = await self._prepare_account(email, password, name, language)
        account = msgspec.structs.replace(account, roles=tuple(sorted(set(roles))))
        async with self._audit.recording("account-created", by, account.account_id, detail=" ".join(account.roles)):
            await self._open_account(account, password, name, language)
        return account

    async def grant_role(self, *, by: Actor, account_id: AccountId, role: str) -> Account:
        await self._require_account(account_id)
        async with self._audit.recording("role-granted", by, account_id, detail=role):
            return await self._change_roles(account_id, lambda roles: roles | {role})

    async def revoke_role(self, *, by: Actor, account_id: AccountId, role: str) -> Account:
        await self._require_account(account_id)
        async with self._audit.recording("role-revoked", by, account_id, detail=role):
            return await self._change_roles(account_id, lambda roles: roles - {role})

    async def reset_password(self, *, by: Actor, account_id: AccountId, password: str) -> Account:
        account = await self._require_account(account_id)
        await self._check_password(password, account.email)
        async with self._audit.recording("password-reset", by, account_id):
            await self._end_sign_ins(account_id)  # before too: no change of the password that needs one goes on
            await self._set_password(account_id, password)
        return account

    async def end_sign_ins(self, *, by: Actor, account_id: AccountId) -> int:
        await self._require_account(account_id)
        await self._audit.record("sign-ins-ended", by, account_id)
        return await self._end_sign_ins(account_id)

    async def export_account(self, *, by: Actor, account_id: AccountId) -> AccountExport:
        details = await self.describe_account(account_id=account_id)
        await self._audit.record("account-exported", by, account_id)
        return build_from(details, AccountExport, audit=await self._audit.list_own(account_id))

    async def close_account(self, *, by: Actor, account_id: AccountId) -> None:
        if await self._accounts.member(account_id=account_id, profile_id=None) is None:
            if await self._audit.has_act("account-closed", account_id):
                return
            raise AccountNotFound(account_id=account_id)
        async with self._audit.recording("account-closed", by, account_id):
            # From here no sign-in succeeds; `finish_closing` goes on after a crash.
            await self._accounts.change_account(account_id=account_id, change=_close, keep_role=OPERATOR)
        await self._erase(account_id)

    async def finish_closing(self) -> int:
        """Erase the accounts whose erasure was interrupted; return their number."""
        closed = await self._accounts.list_closed()
        for account_id in closed:
            await self._erase(account_id)
        return len(closed)

    async def record_act(self, *, by: Actor, detail: str, is_refused: bool = False) -> None:
        await self._audit.record("refused" if is_refused else "operator", by, detail=detail)

    async def audit_log(self, *, account_id: AccountId | None = None, cursor: str | None = None) -> Page[AuditEntry]:
        return await self._audit.list_entries(account_id, cursor)

    async def rotate_keys(self, *, by: Actor, discard: bool = False) -> None:
        async with self._audit.recording("keys-rotated", by, detail="discard" if discard else ""):
            if wait_ms := self._signer.rotate(discard=discard):
                raise RotatedTooSoon(retry_after_ms=wait_ms)

    async def _prepare_account(self, email: str, password: str, name: str, language: str) -> Account:
        """Return a new account, not yet stored. Raises Invalid, EmailTaken."""
        validation.check_sign_up(email, password, name, language)
        address, now = validation.normalize_email(email), self._clock.now()
        await self._check_password(password, address, name)
        if await self._accounts.credentials(email=address) is not None:
            raise EmailTaken
        return Account(account_id=ids.generate(AccountId, now), email=address, created_at=now)

    async def _open_account(self, account: Account, password: str, name: str, language: str) -> Credentials:
        """Store a new account with its first profile. Raises EmailTaken."""
        password_hash = await self._secrets.hash(validation.normalize_password(password))
        credentials = Credentials(account=account, password_hash=password_hash)
        await self._accounts.open_account(
            credentials=credentials,
            profile=self._create_profile(account.account_id, name=name, avatar=model.FIRST_AVATAR, language=language),
            records=(self._record(AccountOpened(account_id=account.account_id), account.account_id),),
        )
        return credentials

    def _create_profile(self, account_id: AccountId, *, name: str, avatar: str, language: str) -> Profile:
        return Profile(
            profile_id=ids.generate(ProfileId, self._clock.now()),
            account_id=account_id,
            name=validation.clean_name(name),
            avatar=avatar,
            language=language,
        )

    async def _require_account(self, account_id: AccountId) -> Account:
        if (member := await self._accounts.member(account_id=account_id, profile_id=None)) is None:
            raise AccountNotFound(account_id=account_id)
        return member.account

    async def _check_password(self, password: str, *words: str) -> None:
        """Raise Invalid for a password that may not be chosen; `words` are words about its owner."""
        validation.check_password(password)
        weakness = await self._find_weakness(validation.normalize_password(password), validation.list_words(*words))
        validation.check_weakness(weakness)

    async def _change_roles(self, account_id: AccountId, change: Callable[[frozenset[str]], Iterable[str]]) -> Account:
        def apply(old: Credentials) -> Credentials:
            roles = tuple(sorted(change(frozenset(old.account.roles))))
            return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, roles=roles))

        new = await self._accounts.change_account(account_id=account_id, change=apply, keep_role=OPERATOR)
        if new is None:
            raise AccountNotFound(account_id=account_id)
        return new.account

    async def _set_password(self, account_id: AccountId, password: str, *, replacing: str | None = None) -> Credentials:
        """Replace the password and end every sign-in; repeat it after a failure in between.

        `replacing` is the hash that must still be there. Raises AccountNotFound, TokenRejected.
        """
        hashed = await self._secrets.hash(validation.normalize_password(password))

        def change(old: Credentials) -> Credentials:
            if replacing not in (None, old.password_hash):
                raise TokenRejected
            return msgspec.structs.replace(old, password_hash=hashed)

        credentials = await self._accounts.change_account(account_id=account_id, change=change)
        await self._end_sign_ins(account_id)
        if credentials is None:
            raise AccountNotFound(account_id=account_id)
        return credentials

    async def _end_sign_ins(self, account_id: AccountId, sign_in_id: SignInId | None = None) -> int:
        record = self._record(SignInsEnded(account_id=account_id, sign_in_id=sign_in_id), account_id)
        return await self._sign_ins.end(account_id=account_id, sign_in_id=sign_in_id, record=record)

    async def _erase(self, account_id: AccountId) -> None:
        """Delete what identity stores of a closed account; the facts make other domains erase the rest. Idempotent."""

        def to_records(profiles: Profiles) -> tuple[FactRecord, ...]:
            removed = [ProfileRemoved(account_id=account_id, profile_id=one.profile.profile_id) for one in profiles]
            return (
                *(self._record(fact, fact.profile_id) for fact in removed),
                self._record(AccountClosed(account_id=account_id), account_id),
            )

        ended = self._record(SignInsEnded(account_id=account_id), account_id)
        await self._sign_ins.erase(account_id=account_id, record=ended)
        await self._accounts.erase_account(account_id=account_id, to_records=to_records)

    def _record(self, fact: AnyFact, key: str) -> FactRecord:
        return new_record(fact, key=key, now=self._clock.now())


def _close(old: Credentials) -> Credentials:
    return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, status="closed"))
