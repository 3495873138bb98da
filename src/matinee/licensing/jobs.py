"""The scheduled work of licensing."""

from __future__ import annotations

from datetime import timedelta

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.licensing.ports import KeyVault

_log = log.get()
# The clocks of two machines may differ by this much without a revoked token becoming valid again.
_CLOCK_SKEW = timedelta(hours=1)


async def delete_expired_revocations(vault: KeyVault, clock: Clock) -> None:
    """Delete expired revocations."""
    if deleted := await vault.delete_revocations(before=clock.now() - _CLOCK_SKEW):
        _log.info("licensing.revocations_deleted", count=deleted)
