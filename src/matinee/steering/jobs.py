"""The background jobs of steering."""

from __future__ import annotations

from matinee.kit import log
from matinee.kit.ticks import sleep_until_tick
from matinee.steering.service import SteeringService

_log = log.get()
SYNCHRONISE_S = 1.0


async def synchronise_fleet(*, service: SteeringService) -> None:
    """Exchange heartbeats with the other instances every second, until cancelled."""
    while True:
        try:
            await service.synchronise()
        except Exception as error:
            _log.warning("fleet.synchronise_failed", error=repr(error))
        await sleep_until_tick(SYNCHRONISE_S)


async def delete_inactive_edges(*, service: SteeringService) -> None:
    """Delete edges without a heartbeat for a day."""
    await service.delete_inactive()
