"""`matinee serve`: one process of the house."""

from __future__ import annotations

from collections.abc import Sequence

from matinee.app.place import EDGE
from matinee.app.settings import Settings
from matinee.app.supervisor import Lifeline, until_told_to_stop
from matinee.app.wiring import host
from matinee.app.wiring.doors import EdgeWords, edge
from matinee.kit import log


async def serve(settings: Settings, targets: Sequence[str], name: str, port: int, edge_words: EdgeWords | None) -> None:
    """Host targets until told to stop."""
    log.configure(level=settings.house.log_level, service=name)
    lifeline = Lifeline()
    logger = log.get()
    if targets == (EDGE,) and edge_words is not None:
        async with edge(settings, edge_words) as health_url:
            lifeline.tell_ready(health_url)
            logger.info("edge.up", address=health_url)
            await until_told_to_stop(lifeline)
        return
    async with host(settings, targets, port=port) as server:
        lifeline.tell_ready(f"{server.address}/healthz")
        logger.info("process.up", address=server.address, targets=list(targets))
        await until_told_to_stop(lifeline)
        logger.info("process.stopping")
