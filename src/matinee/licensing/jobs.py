"""The background jobs of licensing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.licensing.ports import KeyVault

_log = log.get()
# The clocks of two machines may differ by this much without a revoked token becoming valid again.
_CLOCK_SKEW = timedelta(hours=1)


async def delete_expired_revocations(vault: KeyVault, clock: Clock, every_s: float = 3600) -> None:
    """Delete expired revocations periodically, until cancelled."""
    while True:
        try:
            if deleted := await vault.delete_revocations(before=clock.now() - _CLOCK_SKEW):
                _log.info("licensing.revocations_deleted", count=deleted)
        except Exception as error:  # the vault may be unavailable; the next round finds the same rows
            _log.warning("licensing.revocations_not_deleted", error=repr(error))
        await asyncio.sleep(every_s)
