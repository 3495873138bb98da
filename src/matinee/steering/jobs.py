"""What steering does as time passes."""

from __future__ import annotations

import asyncio

from matinee.kit import log
from matinee.steering.service import SteeringService

_log = log.get()
SYNCHRONISE_S = 1.0
FORGET_S = 3600.0


async def synchronise_fleet(*, service: SteeringService) -> None:
    """Write new heartbeats and read those that other instances heard, every second."""
    while True:
        try:
            await service.synchronise()
        except Exception as error:
            _log.warning("fleet.not_synchronised", error=repr(error))
        await asyncio.sleep(SYNCHRONISE_S)


async def forget_edges(*, service: SteeringService) -> None:
    """Drop edges not heard of for a day, every hour."""
    while True:
        try:
            await service.forget()
        except Exception as error:
            _log.warning("fleet.not_forgotten", error=repr(error))
        await asyncio.sleep(FORGET_S)
