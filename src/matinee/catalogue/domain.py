"""The registration of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from matinee.catalogue.api import Catalogue
from matinee.events.api import Events, relay_facts
from matinee.mesh.hosting.domain import Domain, Wiring

if TYPE_CHECKING:
    from matinee.catalogue.adapters.cassandra import CassandraTitleSource
    from matinee.catalogue.ports import ReadModel, TitleStore


class CatalogueSection(msgspec.Struct, frozen=True, kw_only=True):
    """Titles. `read_model`: `memory://`, or `cassandra://…` for a copy of them; instances also read from memory."""

    store: str = "sqlite:///{data}/catalogue.db"
    read_model: str = "memory://"


async def _build(wiring: Wiring[CatalogueSection]) -> Catalogue:
    from matinee.catalogue import jobs
    from matinee.catalogue.adapters.sql import SqlTitleStore
    from matinee.catalogue.service import CatalogueService

    store = await SqlTitleStore.open(await wiring.database("store"))
    read_model = await _open_read_model(wiring, store)
    wiring.add_job(relay_facts, store.outbox, wiring.client(Events))
    wiring.add_job(jobs.follow_changes, read_model)
    return CatalogueService(store=store, read_model=read_model, clock=wiring.clock)


async def _open_read_model(wiring: Wiring[CatalogueSection], store: TitleStore) -> ReadModel:
    source: TitleStore | CassandraTitleSource = store
    match wiring.scheme("read_model"):
        case "cassandra":
            from matinee.catalogue.adapters.cassandra import CassandraTitleSource

            source = CassandraTitleSource(await wiring.cassandra("read_model", needed=False), store=store)
            wiring.stack.push_async_callback(source.close)
        case "memory":
            pass
        case _:
            raise wiring.make_unsupported("read_model", "memory or cassandra")
    from matinee.catalogue.adapters.memory import MemoryReadModel

    return MemoryReadModel(store=source, clock=wiring.clock)


DOMAIN = Domain(
    name="catalogue", section=CatalogueSection, protocol=Catalogue, needs=(Events,), build=_build, store="store"
)
