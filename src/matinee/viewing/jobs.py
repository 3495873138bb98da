"""The background jobs of viewing."""

from __future__ import annotations

from matinee.events.api import FactRecord, Follower, ProfileRemoved
from matinee.viewing.api import Viewing

CONSUMER = "viewing.erase"


async def erase_removed_profiles(viewing: Viewing, follower: Follower) -> None:
    """Erase the viewing data of every removed profile, until cancelled."""

    async def erase(records: list[FactRecord]) -> None:
        for fact in (record.fact for record in records):
            if isinstance(fact, ProfileRemoved):
                await viewing.erase(account_id=fact.account_id, profile_id=fact.profile_id)

    await follower.follow(consumer=CONSUMER, types=(ProfileRemoved,), handle=erase)
