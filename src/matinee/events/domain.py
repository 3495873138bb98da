"""The registration of events."""

from __future__ import annotations

import msgspec

from matinee.events.api import Events, Follower
from matinee.kit.bounds import Bytes, Count, DaysOrZero
from matinee.mesh.hosting.domain import Domain, Wiring


class EventsSection(msgspec.Struct, frozen=True, kw_only=True):
    """The log of facts: `sqlite:///…` or `kafka://[user:password@]host:port[,host:port…]/prefix`.

    Facts are kept for `retention_days`, or forever with 0; in SQLite for less where they take more than
    `retention_bytes`, but in any case until every consumer has handled them. On Kafka a topic is created for each type
    of fact, with this number of `partitions` and replicas (`replication`).
    """

    log: str = "sqlite:///{data}/events.db"
    partitions: Count = 6
    replication: Count = 1
    retention_days: DaysOrZero = 90
    retention_bytes: Bytes = 8 << 30


async def _prepare(wiring: Wiring[EventsSection]) -> Events | None:
    """Open the log where each process uses its engine directly. While it is unavailable, facts wait in outboxes."""
    from matinee.events.jobs import GroupFollower, PollingFollower

    if wiring.scheme("log") != "kafka":
        wiring.provide(Follower, lambda user: PollingFollower(user.client(Events), user.clock))
        return None
    from matinee.events.adapters.kafka import KafkaEventLog
    from matinee.events.service import EventsService

    settings = wiring.settings
    log = await wiring.stack.enter_async_context(
        KafkaEventLog.open(
            settings.log,
            region=wiring.deployment.region,
            partitions=settings.partitions,
            replication=settings.replication,
            retention_days=settings.retention_days,
        )
    )
    wiring.watch(log, "events.log", needed=False)
    service = EventsService(log=log, dead_letters=log, leases=None, clock=wiring.clock)
    wiring.provide(Follower, lambda user: GroupFollower(log, service, user.clock))
    return service


async def _build(wiring: Wiring[EventsSection]) -> Events:
    if wiring.scheme("log") != "sqlite":
        raise wiring.make_unsupported("log", "sqlite or kafka")
    from matinee.events.adapters.sqlite import SqliteEventLog
    from matinee.events.jobs import trim_log
    from matinee.events.service import EventsService

    log = await SqliteEventLog.open(await wiring.database("log"))
    settings = wiring.settings
    wiring.add_schedule("@every 1h", trim_log, log, wiring.clock, settings.retention_days, settings.retention_bytes)
    # All appends pass through this process, the only one of the domain.
    return EventsService(log=log, dead_letters=log, leases=log, clock=wiring.clock, poll_s=5.0)


DOMAIN = Domain(name="events", section=EventsSection, protocol=Events, prepare=_prepare, build=_build, store="log")
