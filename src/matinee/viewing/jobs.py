"""What viewing does by itself: tell where profiles are, and forget those that are gone."""

from __future__ import annotations

from matinee.events.api import FactRecord, Follower, ProfileRemoved
from matinee.viewing.api import Viewing

CONSUMER = "viewing.erase"


async def forget_removed_profiles(viewing: Viewing, following: Follower) -> None:
    """Erase what belonged to a profile once it is removed, for ever."""

    async def erase(record: FactRecord) -> None:
        if isinstance(record.fact, ProfileRemoved):
            await viewing.erase(account_id=record.fact.account_id, profile_id=record.fact.profile_id)

    await following.follow(consumer=CONSUMER, types=(ProfileRemoved,), handle=erase)
