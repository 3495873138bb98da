"""Passwords and PINs: counted attempts, and the proof that changes of the household need."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from matinee.identity import model
from matinee.identity.api import ProofRequired, TokenRejected, TooManyAttempts, WrongPassword, WrongPin
from matinee.identity.model import Credentials, SignIn, StoredProfile, validation
from matinee.identity.ports import Secrets, SignInChange, SignInStore, Throttle
from matinee.kit.clock import Clock
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, SignInId


class Proofs:
    """Checks passwords and PINs. A proof is valid for `valid_s` on the sign-in on which it was given."""

    def __init__(
        self, *, sign_ins: SignInStore, throttle: Throttle, secrets: Secrets, clock: Clock, valid_s: int
    ) -> None:
        self._sign_ins = sign_ins
        self._throttle = throttle
        self._secrets = secrets
        self._clock = clock
        self._validity = timedelta(seconds=valid_s)

    async def verify_password(
        self, credentials: Credentials | None, password: str, *, subjects: tuple[str, ...]
    ) -> bool:
        """Return whether a password is right, counting the attempt. Without an account it takes as long.

        Raises TooManyAttempts.
        """
        await self._attempt(subjects)
        hashed = credentials.password_hash if credentials else self._secrets.decoy
        is_right = await self._secrets.verify(hashed, validation.normalize_password(password))
        if not is_right or credentials is None or credentials.account.status != "active":
            return False
        await self._throttle.reset(subjects=subjects)
        return True

    async def check_password(self, credentials: Credentials | None, password: str, principal: Principal) -> None:
        """Raise WrongPassword unless this is the account's password. Raises TooManyAttempts."""
        if not await self.verify_password(credentials, password, subjects=(f"device:{principal.device_id}",)):
            raise WrongPassword

    async def check_pin(self, stored: StoredProfile, pin: str | None, sign_in_id: SignInId) -> None:
        """Raise WrongPin unless this is the profile's PIN, or it has none. Raises TooManyAttempts.

        Attempts are counted for each sign-in, so that a child who guesses does not lock the adult out elsewhere.
        """
        if stored.pin_hash is None:
            return
        if not pin:
            raise WrongPin(detail="This profile needs its PIN.")
        subjects = (f"pin:{stored.profile.profile_id}@{sign_in_id}",)
        await self._attempt(subjects)
        if not await self._secrets.verify(stored.pin_hash, pin[:64]):
            raise WrongPin
        await self._throttle.reset(subjects=subjects)

    async def record(self, principal: Principal) -> None:
        """Record that an adult gave a proof on this sign-in; on a child's page it is good for one change.

        Raises TokenRejected.
        """
        now, proved_for = self._clock.now(), None if principal.is_adult else principal.profile_id

        def prove(sign_in: SignIn) -> SignInChange:
            model.check_sign_in(sign_in, principal.account_id, now)
            return SignInChange(sign_in=msgspec.structs.replace(sign_in, proved_at=now, proved_for=proved_for))

        if await self._sign_ins.change(sign_in_id=principal.sign_in_id, now=now, change=prove) is None:
            raise TokenRejected

    async def require(self, principal: Principal) -> None:
        """Raise ProofRequired unless a proof was given on this sign-in a short time ago. Raises TokenRejected.

        The proof that was given on a child's page is used up.
        """
        now = self._clock.now()
        sign_in = await self.require_sign_in(principal.account_id, principal.sign_in_id)
        if not model.is_proved(sign_in, principal, now, self._validity):
            raise ProofRequired
        if principal.is_adult:
            return

        def use_up(current: SignIn) -> SignInChange:
            if not model.is_proved(current, principal, now, self._validity):
                raise ProofRequired
            return SignInChange(sign_in=msgspec.structs.replace(current, proved_at=None, proved_for=None))

        if await self._sign_ins.change(sign_in_id=principal.sign_in_id, now=now, change=use_up) is None:
            raise TokenRejected

    async def require_sign_in(self, account_id: AccountId, sign_in_id: SignInId) -> SignIn:
        """Return a sign-in of an account. Raises TokenRejected when it has ended."""
        sign_in = await self._sign_ins.find(sign_in_id=sign_in_id)
        return model.check_sign_in(sign_in, account_id, self._clock.now())

    async def _attempt(self, subjects: tuple[str, ...]) -> None:
        if wait_ms := await self._throttle.attempt(subjects=subjects, now=self._clock.now()):
            raise TooManyAttempts(retry_after_ms=wait_ms)
