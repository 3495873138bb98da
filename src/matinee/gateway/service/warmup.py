"""Waits, before a gateway takes traffic, until the domains that fill its screens answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from matinee.catalogue.api import Catalogue
from matinee.identity.api import Identity
from matinee.kit import log
from matinee.kit.context import with_timeout
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.viewing.api import Viewing

TIMEOUT_S = 10.0
_CALL_TIMEOUT_MS = 2_000
_RETRY_DELAY_S = 0.1
_log = log.get()


async def warm_up(
    *, identity: Identity, catalogue: Catalogue, viewing: Viewing, territory: str, timeout_s: float = TIMEOUT_S
) -> bool:
    """Call each domain until it answers; return whether all have answered in time.

    The time is limited because a gateway without one of them is better than none: its screens name the missing parts.
    """
    no_one, no_profile, no_title = AccountId("acc_none"), ProfileId("prf_none"), TitleId("tit_none")
    calls: Mapping[str, Callable[[], Awaitable[object]]] = {
        "identity": identity.public_keys,
        "catalogue": lambda: catalogue.browse(territory=territory, maturity=0, limit=1),
        "genres": catalogue.genres,
        "viewing": lambda: viewing.list_positions(account_id=no_one, profile_id=no_profile, title_ids=[no_title]),
    }
    waiting = [asyncio.create_task(_call_until_answered(call), name=name) for name, call in calls.items()]
    _, pending = await asyncio.wait(waiting, timeout=timeout_s)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if pending:
        _log.warning("gateway.incomplete", unavailable=sorted(task.get_name() for task in pending))
    return not pending


async def _call_until_answered(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            with with_timeout(_CALL_TIMEOUT_MS):
                async with asyncio.timeout(_CALL_TIMEOUT_MS / 1000):
                    await call()
                return
        except Exception:  # whatever it is, the domain cannot answer yet
            await asyncio.sleep(_RETRY_DELAY_S)
