"""Changes of accounts: roles and passwords."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from matinee.events.api import FactRecord, SignInsEnded, new_record
from matinee.identity import model
from matinee.identity.api import Account, AccountNotFound
from matinee.identity.model import Credentials
from matinee.identity.ports import AccountStore, Secrets, SignInStore
from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, SignInId


class Accounts:
    """Finds and changes accounts. Ending sign-ins stores the fact by which play sessions end."""

    def __init__(self, *, accounts: AccountStore, sign_ins: SignInStore, secrets: Secrets, clock: Clock) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._secrets = secrets
        self._clock = clock

    async def find(self, email: str) -> Account:
        """Return the account with an e-mail address. Raises AccountNotFound."""
        credentials = await self._accounts.credentials(email=model.normalize_email(email))
        if credentials is None:
            raise AccountNotFound(email=email)
        return credentials.account

    async def change_roles(self, email: str, change: Callable[[frozenset[str]], Iterable[str]]) -> Account:
        """Change the roles of an account. Raises AccountNotFound."""

        def apply(old: Credentials) -> Credentials:
            roles = tuple(sorted(change(frozenset(old.account.roles))))
            return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, roles=roles))

        found = await self.find(email)
        new = await self._accounts.change_account(account_id=found.account_id, change=apply)
        if new is None:
            raise AccountNotFound(email=email)
        return new.account

    async def set_password(self, account: Account, password: str) -> None:
        """Replace the password and end every sign-in; repeat it after a failure in between. Raises Invalid."""
        model.check_password(password)
        hashed = await self._secrets.hash(model.normalize_password(password))
        await self._accounts.change_account(
            account_id=account.account_id, change=lambda old: msgspec.structs.replace(old, password_hash=hashed)
        )
        await self.end_sign_ins(account.account_id)

    async def end_sign_ins(self, account_id: AccountId, sign_in_id: SignInId | None = None) -> int:
        """End one sign-in or, without an id, all; return their number."""
        record = self._record(SignInsEnded(account_id=account_id, sign_in_id=sign_in_id))
        return await self._sign_ins.end(account_id=account_id, sign_in_id=sign_in_id, record=record)

    def _record(self, fact: SignInsEnded) -> FactRecord:
        return new_record(fact, key=fact.account_id, now=self._clock.now())
