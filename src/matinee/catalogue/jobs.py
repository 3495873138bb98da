"""What the catalogue does by itself, each for ever until cancelled."""

from __future__ import annotations

import asyncio

from matinee.catalogue.ports import ReadModel
from matinee.kit import log

_log = log.get()
EVERY_S = 0.25


async def follow_changes(read_model: ReadModel) -> None:
    """Learn of other instances' changes before anyone asks, so that no request waits for it."""
    while True:
        try:
            await read_model.catch_up()
        except Exception as error:  # the store may be away; it is asked again
            _log.warning("catalogue.follow_failed", error=repr(error))
        await asyncio.sleep(EVERY_S)
