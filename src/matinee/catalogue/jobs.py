"""Background jobs of the catalogue; each runs until cancelled."""

from __future__ import annotations

import asyncio

from matinee.catalogue.ports import ReadModel
from matinee.kit import log

_log = log.get()
EVERY_S = 0.4
# Without reads, changes are applied less often.
UNUSED_S = 10.0


async def follow_changes(read_model: ReadModel) -> None:
    """Apply changes made by other instances regularly, so that requests need not wait for them."""
    while True:
        await read_model.wait_for_use(UNUSED_S)
        try:
            await read_model.catch_up()
        except Exception as error:  # the store may be unavailable; retry at the next interval
            _log.warning("catalogue.follow_failed", error=repr(error))
        await asyncio.sleep(EVERY_S)
