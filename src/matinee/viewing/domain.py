"""The registration of viewing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from matinee.events.api import Events, Follower
from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.viewing.api import Viewing

if TYPE_CHECKING:
    from matinee.viewing.adapters.cassandra import CassandraViewingStore
    from matinee.viewing.adapters.sql import SqlViewingStore


class ViewingSection(msgspec.Struct, frozen=True, kw_only=True):
    """Positions and history."""

    store: str = "sqlite:///{data}/viewing.db"


async def _build(wiring: Wiring[ViewingSection]) -> Viewing:
    from matinee.viewing import jobs
    from matinee.viewing.service import ViewingService

    service = ViewingService(store=await _open_store(wiring), clock=wiring.clock)
    wiring.add_job(jobs.erase_removed_profiles, service, wiring.get_provided(Follower))
    return service


async def _open_store(wiring: Wiring[ViewingSection]) -> SqlViewingStore | CassandraViewingStore:
    if wiring.scheme("store") == "cassandra":
        from matinee.viewing.adapters.cassandra import CassandraViewingStore

        return await CassandraViewingStore.open(await wiring.cassandra("store"), wiring.clock)
    from matinee.viewing.adapters.sql import SqlViewingStore

    return await SqlViewingStore.open(await wiring.database("store", has_short_rows=True))


DOMAIN = Domain(name="viewing", section=ViewingSection, protocol=Viewing, needs=(Events,), build=_build, store="store")
