"""Background jobs of identity."""

from __future__ import annotations

from matinee.identity.model import ATTEMPTS_EXPIRE_AFTER
from matinee.identity.ports import SignInStore, Throttle
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()


async def delete_expired(sign_ins: SignInStore, throttle: Throttle, clock: Clock) -> None:
    """Delete expired sign-ins and attempt counts."""
    now = clock.now()
    ended = await sign_ins.expire(now=now)
    expired = await throttle.expire_attempts(before=now - ATTEMPTS_EXPIRE_AFTER)
    if ended or expired:
        _log.info("identity.expired", sign_ins=ended, attempts=expired)
