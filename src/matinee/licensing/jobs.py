"""What licensing does as time passes: forget revocations whose tokens are long dead."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.licensing.ports import KeyVault

_log = log.get()
# Clocks of two machines may differ by this much without a revoked token coming back to life.
_SLACK = timedelta(hours=1)


async def forget_revocations(vault: KeyVault, clock: Clock, every_s: float = 3600) -> None:
    """Drop revocations that have run out, now and then, for ever."""
    while True:
        try:
            if forgotten := await vault.forget(before=clock.now() - _SLACK):
                _log.info("licensing.forgot", revocations=forgotten)
        except Exception as error:  # the vault may be away; the next round finds the same rows
            _log.warning("licensing.forget_waits", error=repr(error))
        await asyncio.sleep(every_s)
