"""What identity does as time passes: tell its facts, drop what has run out."""

from __future__ import annotations

import asyncio

from matinee.identity.model import TRIES_FORGOTTEN_AFTER
from matinee.identity.ports import SignInStore, Throttle
from matinee.kit import log
from matinee.kit.clock import Clock

_log = log.get()


async def drop_expired(sign_ins: SignInStore, throttle: Throttle, clock: Clock, every_s: float = 600) -> None:
    """Drop sign-ins and counts of tries that no longer matter, now and then, for ever."""
    while True:
        try:
            now = clock.now()
            ended = await sign_ins.expire(now=now)
            forgotten = await throttle.forget(before=now - TRIES_FORGOTTEN_AFTER)
            if ended or forgotten:
                _log.info("identity.dropped", sign_ins=ended, tries=forgotten)
        except Exception as error:  # the store may be away; the next round finds the same rows
            _log.warning("identity.drop_waits", error=repr(error))
        await asyncio.sleep(every_s)
