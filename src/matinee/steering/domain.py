"""The registration of steering."""

from __future__ import annotations

import msgspec

from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.steering.api import Steering


class SteeringSection(msgspec.Struct, frozen=True, kw_only=True):
    """The edges."""

    store: str = "sqlite:///{data}/steering.db"


async def _build(wiring: Wiring[SteeringSection]) -> Steering:
    from matinee.steering import jobs
    from matinee.steering.adapters.sql import SqlFleetStore
    from matinee.steering.service import SteeringService

    fleet = await SqlFleetStore.open(await wiring.database("store", has_short_rows=True))
    service = SteeringService(fleet=fleet, clock=wiring.clock)
    wiring.add_job(jobs.synchronise_fleet, service=service)
    wiring.add_schedule("@every 1h", jobs.delete_inactive_edges, service=service)
    return service


DOMAIN = Domain(name="steering", section=SteeringSection, protocol=Steering, build=_build, store="store")
