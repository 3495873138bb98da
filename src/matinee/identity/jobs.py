"""Background jobs of identity."""

from __future__ import annotations

import asyncio

from matinee.identity.model import ATTEMPTS_EXPIRE_AFTER
from matinee.identity.ports import SignInStore, Throttle
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()


async def drop_expired(sign_ins: SignInStore, throttle: Throttle, clock: Clock, every_s: float = 600) -> None:
    """Delete expired sign-ins and attempt counts at intervals, until cancelled."""
    while True:
        try:
            now = clock.now()
            ended = await sign_ins.expire(now=now)
            expired = await throttle.expire_attempts(before=now - ATTEMPTS_EXPIRE_AFTER)
            if ended or expired:
                _log.info("identity.expired", sign_ins=ended, attempts=expired)
        except Exception as error:  # the store may be unavailable; the next round finds the same rows
            _log.warning("identity.expire_failed", error=repr(error))
        await asyncio.sleep(every_s)
