"""Collects what the domains store of the people of an account."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matinee.identity.api import AccountExport, Actor, Identity
from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, ProfileId
from matinee.viewing.api import Position, Viewing

_PAGE = 100


class PersonalData(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of an account's people, for them to keep. `history` has the positions of each profile."""

    exported_at: datetime
    account: AccountExport
    history: dict[ProfileId, list[Position]]


async def export_account(
    *, identity: Identity, viewing: Viewing, clock: Clock, by: Actor, account_id: AccountId
) -> PersonalData:
    """Return what is stored of an account's people. Raises AccountNotFound."""
    account = await identity.export_account(by=by, account_id=account_id)
    profile_ids = [profile.profile_id for profile in account.profiles]
    history = {profile_id: await _list_positions(viewing, account_id, profile_id) for profile_id in profile_ids}
    return PersonalData(exported_at=clock.now(), account=account, history=history)


async def _list_positions(viewing: Viewing, account_id: AccountId, profile_id: ProfileId) -> list[Position]:
    positions, cursor = list[Position](), None
    while True:
        page = await viewing.list_history(
            account_id=account_id, profile_id=profile_id, cursor=cursor, limit=_PAGE, dismissed=True
        )
        positions += page.items
        if (cursor := page.next_cursor) is None:
            return positions
