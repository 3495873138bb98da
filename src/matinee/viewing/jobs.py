"""What viewing does by itself: tell where profiles are, and forget those that are gone."""

from __future__ import annotations

from matinee.events.api import Events, Following, ProfileRemoved, Record, relaying
from matinee.viewing.api import Viewing
from matinee.viewing.ports import Outgoing

CONSUMER = "viewing.erase"


async def relay(outgoing: Outgoing, events: Events) -> None:
    """Hand `PositionMoved` facts to the log, for ever."""
    await outgoing.run(relaying(events))


async def forget_removed_profiles(viewing: Viewing, following: Following) -> None:
    """Erase what belonged to a profile once it is removed, for ever."""

    async def erase(record: Record) -> None:
        if isinstance(record.fact, ProfileRemoved):
            await viewing.erase(account_id=record.fact.account_id, profile_id=record.fact.profile_id)

    await following.follow(consumer=CONSUMER, types=(ProfileRemoved,), handle=erase)
