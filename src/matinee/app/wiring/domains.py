"""Each domain's service, with its adapters and its jobs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matinee.app.settings import BadSettings, Settings
from matinee.app.targets import PROTOCOLS, needs
from matinee.app.wiring.fabric import EDGE_KEY, Fabric
from matinee.drivers.metrics import Metrics
from matinee.events.api import Follower, relay_facts
from matinee.events.jobs import GroupFollower, PollingFollower
from matinee.kit import ids, url
from matinee.kit.ids import InstanceId
from matinee.mesh.client import bind_local, bind_remote

if TYPE_CHECKING:
    from matinee.catalogue.adapters.cassandra import CassandraTitles
    from matinee.catalogue.ports import ReadModel, TitleStore
    from matinee.drivers.cache import Guard
    from matinee.drivers.cassandra import Cassandra
    from matinee.drivers.redis import Redis
    from matinee.drivers.sql import Database
    from matinee.viewing.adapters.cassandra import CassandraViewingStore
    from matinee.viewing.adapters.sql import SqlViewingStore


class Parts:
    """What a process is being put together from. `built` are the services it hosts, `jobs` what runs beside them."""

    def __init__(self, *, fabric: Fabric, stack: contextlib.AsyncExitStack, metrics: Metrics) -> None:
        self.fabric = fabric
        self.stack = stack
        self.metrics = metrics
        self.built: dict[str, Any] = {}
        self.own: dict[str, Any] = {}  # for this process alone, on engines that all processes reach
        self.groups: Follower | None = None
        self.jobs: list[Coroutine[Any, Any, None]] = []
        self._cache: Guard | None = None

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.fabric.settings

    def domain(self, name: str, *, by: str) -> Any:
        """A domain for another to call: in this process where it is hosted here, through the mesh where not."""
        if (here := self.built.get(name) or self.own.get(name)) is not None:
            return bind_local(PROTOCOLS[name], name, here, caller=by, force_wire=self.settings.mesh.force_wire)
        return bind_remote(PROTOCOLS[name], name, self.fabric.caller, caller=by)

    def following(self, *, by: str) -> Follower:
        """How a domain follows the log of facts."""
        return self.groups or PollingFollower(self.domain("events", by=by), self.fabric.clock)

    async def database(self, setting: str, place: str) -> Database:
        """The SQL database behind a setting. Raises BadSettings for an engine that is not known."""
        if url.scheme(place) not in {"sqlite", "mysql"}:
            raise BadSettings(
                detail=f"{setting}: there is no store for {url.scheme(place)!r}; sqlite and mysql are known."
            )
        from matinee.drivers.sql import Database

        backups = self.settings.data / "backups"
        database = await self.stack.enter_async_context(Database(place, backups=backups))
        self.fabric.engines.add(database, used_for=setting)
        return database

    async def cache(self) -> Guard:
        """The cache that instances share, once a process; it may be away. Raises BadSettings for an unknown engine."""
        from matinee.drivers.cache import Figures
        from matinee.drivers.cache.opening import open_guard

        if self._cache is None:
            said, figures = self.settings.cache, Figures(self.metrics)
            clock, limit_ms = self.fabric.clock, said.call_ms
            try:
                self._cache = await open_guard(
                    said.engine, stack=self.stack, figures=figures, clock=clock, limit_ms=limit_ms
                )
            except ValueError as error:
                raise BadSettings(detail=f"cache.engine: {error}") from error
            self.fabric.engines.add(self._cache.engine, used_for="cache.engine", needed=False)
        return self._cache

    async def redis(self, setting: str, place: str) -> Redis:
        """The Redis behind a setting. Raises EngineUnavailable."""
        from matinee.drivers.redis import Redis

        redis = await self.stack.enter_async_context(Redis(place))
        self.fabric.engines.add(redis, used_for=setting)
        return redis

    async def cassandra(self, setting: str, place: str, *, needed: bool = True) -> Cassandra:
        """The keyspace behind a setting; it may be away if not `needed`. Raises EngineUnavailable, BadSettings."""
        from matinee.drivers.cassandra import Cassandra

        try:
            cassandra = Cassandra(place, lazy=not needed)
        except ValueError as error:
            raise BadSettings(detail=f"{setting}: {error}") from error
        await self.stack.enter_async_context(cassandra)
        self.fabric.engines.add(cassandra, used_for=setting, needed=needed)
        return cassandra


async def open_own(parts: Parts, targets: Sequence[str]) -> None:
    """Open what each process that needs it has of its own: the log, where its engine keeps all of its state.

    While that engine is away facts wait in their outboxes, and nobody is refused.
    """
    settings, clock = parts.settings, parts.fabric.clock
    if url.scheme(settings.events.log) != "kafka" or not any(t == "events" or "events" in needs(t) for t in targets):
        return
    from matinee.events.adapters.kafka import KafkaEventLog
    from matinee.events.service import EventsService

    opening = KafkaEventLog.open(
        settings.events.log,
        region=settings.deployment.region,
        partitions=settings.events.partitions,
        replication=settings.events.replication,
        retention_days=settings.events.retention_days,
    )
    log = await parts.stack.enter_async_context(opening)
    parts.fabric.engines.add(log, used_for="events.log", needed=False)
    events = parts.own["events"] = EventsService(log=log, dead_letters=log, leases=None, clock=clock)
    parts.groups = GroupFollower(log, events, clock)


async def _events(parts: Parts) -> None:
    from matinee.events.service import EventsService

    match url.scheme(parts.settings.events.log):
        case "kafka":
            parts.built["events"] = parts.own["events"]
        case "sqlite":
            from matinee.events.adapters.sqlite import SqliteEventLog

            log = await SqliteEventLog.open(await parts.database("events.log", parts.settings.events.log))
            parts.built["events"] = EventsService(log=log, dead_letters=log, leases=log, clock=parts.fabric.clock)
        case other:
            raise BadSettings(detail=f"events.log: there is no log for {other!r}; sqlite and kafka are known.")


async def _catalogue(parts: Parts) -> None:
    from matinee.catalogue import jobs
    from matinee.catalogue.adapters.sql import SqlTitleStore
    from matinee.catalogue.service import CatalogueService

    store = await SqlTitleStore.open(await parts.database("catalogue.store", parts.settings.catalogue.store))
    read_model = await _read_model(parts, store)
    parts.built["catalogue"] = CatalogueService(store=store, read_model=read_model, clock=parts.fabric.clock)
    parts.jobs += [
        relay_facts(store.outbox, parts.domain("events", by="catalogue")),
        jobs.follow_changes(read_model),
    ]


async def _read_model(parts: Parts, store: TitleStore) -> ReadModel:
    place = parts.settings.catalogue.read_model
    if url.scheme(place) not in {"memory", "cassandra"}:
        raise BadSettings(detail=f"catalogue.read_model: {url.scheme(place)!r}? memory and cassandra are known.")
    source: TitleStore | CassandraTitles = store
    if url.scheme(place) == "cassandra":
        from matinee.catalogue.adapters.cassandra import CassandraTitles

        cassandra = await parts.cassandra("catalogue.read_model", place, needed=False)
        source = CassandraTitles(cassandra, store=store)
        parts.stack.push_async_callback(source.close)
    match url.scheme(parts.settings.cache.engine):
        case "memory":  # its own memory is the nearest cache there is
            from matinee.catalogue.adapters.memory import MemoryReadModel

            return MemoryReadModel(store=source, clock=parts.fabric.clock)
        case _:
            from matinee.catalogue.adapters.cached import CachedReadModel

            model = CachedReadModel(store=source, guard=await parts.cache(), clock=parts.fabric.clock)
            parts.stack.push_async_callback(model.close)
            return model


async def _identity(parts: Parts) -> None:
    from matinee.drivers.argon import Argon2
    from matinee.drivers.jwt import Signer
    from matinee.identity import jobs
    from matinee.identity.adapters.sql import SqlIdentityStore
    from matinee.identity.service import IdentityService

    settings, clock = parts.settings, parts.fabric.clock
    store = await SqlIdentityStore.open(await parts.database("identity.store", settings.identity.store))
    secrets = Argon2()
    parts.stack.callback(secrets.close)
    sign_ins = await _sign_ins(parts, settings.identity.sessions) or store
    throttle = await _throttle(parts, settings.identity.throttle) or store
    parts.built["identity"] = IdentityService(
        accounts=store,
        sign_ins=sign_ins,
        throttle=throttle,
        secrets=secrets,
        signer=Signer.open(settings.secrets / "access-tokens.pem"),
        clock=clock,
        access_ttl_s=settings.identity.access_token_s,
        refresh_ttl_s=settings.identity.refresh_token_s,
    )
    events = parts.domain("events", by="identity")
    outboxes = [store.outbox] if sign_ins is store else [store.outbox, sign_ins.outbox]
    parts.jobs += [relay_facts(outbox, events) for outbox in outboxes]
    parts.jobs.append(jobs.drop_expired(sign_ins, throttle, clock))


async def _sign_ins(parts: Parts, place: str) -> Any:
    match url.scheme(place):
        case "":
            return None
        case "redis" | "rediss" | "unix":
            from matinee.identity.adapters.redis import RedisSignInStore

            return await RedisSignInStore.open(await parts.redis("identity.sessions", place))
        case _:
            from matinee.identity.adapters.sql import SqlIdentityStore

            return await SqlIdentityStore.open(await parts.database("identity.sessions", place))


async def _throttle(parts: Parts, place: str) -> Any:
    match url.scheme(place):
        case "":
            return None
        case "redis" | "rediss" | "unix":
            from matinee.identity.adapters.redis import RedisThrottle

            return await RedisThrottle.open(await parts.redis("identity.throttle", place))
        case _:
            from matinee.identity.adapters.sql import SqlIdentityStore

            return await SqlIdentityStore.open(await parts.database("identity.throttle", place))


async def _licensing(parts: Parts) -> None:
    from matinee.drivers.vault import FileSealer
    from matinee.licensing import jobs
    from matinee.licensing.adapters.sql import SqlKeyVault
    from matinee.licensing.service import LicensingService

    settings, clock = parts.settings, parts.fabric.clock
    vault = await SqlKeyVault.open(await parts.database("licensing.store", settings.licensing.store))
    parts.built["licensing"] = LicensingService(
        vault=vault,
        sealer=FileSealer.open(settings.secrets / "content-keys.kek"),
        token_key=parts.fabric.secret("licence-tokens.key"),
        clock=clock,
    )
    parts.jobs.append(jobs.forget_revocations(vault, clock))


async def _viewing(parts: Parts) -> None:
    from matinee.viewing import jobs
    from matinee.viewing.service import ViewingService

    store = await _viewing_store(parts)
    service = parts.built["viewing"] = ViewingService(store=store, clock=parts.fabric.clock)
    events = parts.domain("events", by="viewing")
    following = parts.following(by="viewing")
    parts.jobs += [relay_facts(store.outbox, events), jobs.forget_removed_profiles(service, following)]


async def _viewing_store(parts: Parts) -> SqlViewingStore | CassandraViewingStore:
    place = parts.settings.viewing.store
    if url.scheme(place) == "cassandra":
        from matinee.viewing.adapters.cassandra import CassandraViewingStore

        return await CassandraViewingStore.open(await parts.cassandra("viewing.store", place), parts.fabric.clock)
    from matinee.viewing.adapters.sql import SqlViewingStore

    return await SqlViewingStore.open(await parts.database("viewing.store", place))


async def _steering(parts: Parts) -> None:
    from matinee.steering import jobs
    from matinee.steering.adapters.sql import SqlFleetStore
    from matinee.steering.service import SteeringService

    fleet = await SqlFleetStore.open(await parts.database("steering.store", parts.settings.steering.store))
    service = parts.built["steering"] = SteeringService(fleet=fleet, clock=parts.fabric.clock)
    parts.jobs += [jobs.synchronise_fleet(service=service), jobs.forget_edges(service=service)]


async def _encoding(parts: Parts) -> None:
    from matinee.drivers.ffmpeg import Ffmpeg
    from matinee.drivers.objects import ObjectStore
    from matinee.drivers.packager import Shaka
    from matinee.encoding import jobs
    from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber, FfmpegStills
    from matinee.encoding.adapters.objects import ObjectBlobs
    from matinee.encoding.adapters.packager import ShakaPackager
    from matinee.encoding.adapters.sql import SqlJobStore
    from matinee.encoding.service import EncodingService

    settings, clock = parts.settings, parts.fabric.clock
    store = await SqlJobStore.open(await parts.database("encoding.store", settings.encoding.store))
    objects, ffmpeg = ObjectStore(settings.objects.store), Ffmpeg()
    parts.fabric.engines.add(objects, used_for="objects.store")
    await objects.ensure_bucket()
    blobs = ObjectBlobs(objects)
    prober, work = FfmpegProber(ffmpeg), Path(settings.encoding.work)
    catalogue = parts.domain("catalogue", by="encoding")
    tools = jobs.Tools(
        blobs=blobs,
        prober=prober,
        encoder=FfmpegEncoder(ffmpeg),
        stills=FfmpegStills(ffmpeg),
        packager=ShakaPackager(Shaka()),
        catalogue=catalogue,
        licensing=parts.domain("licensing", by="encoding"),
        processes=settings.encoding.processes or os.cpu_count() or 1,
        preset=settings.encoding.preset,
    )
    parts.built["encoding"] = EncodingService(store=store, blobs=blobs, prober=prober, catalogue=catalogue, clock=clock)
    owner = ids.generate(InstanceId, clock.now())
    parts.jobs += [
        jobs.run_worker(store=store, tools=tools, clock=clock, folder=work, owner=owner),
        jobs.sweep_folders(store=store, clock=clock, folder=work),
        jobs.sweep_objects(remove_unfinished=blobs.remove_unfinished, clock=clock),
        relay_facts(store.outbox, parts.domain("events", by="encoding")),
    ]


async def _playback(parts: Parts) -> None:
    from matinee.playback import jobs
    from matinee.playback.service import PlaybackService

    settings = parts.settings.playback
    store = await _play_sessions(parts, settings.store)
    service = parts.built["playback"] = PlaybackService(
        store=store,
        identity=parts.domain("identity", by="playback"),
        catalogue=parts.domain("catalogue", by="playback"),
        viewing=parts.domain("viewing", by="playback"),
        steering=parts.domain("steering", by="playback"),
        licensing=parts.domain("licensing", by="playback"),
        clock=parts.fabric.clock,
        token_key=parts.fabric.secret("play-links.key"),
        edge_token_key=parts.fabric.secret(EDGE_KEY),
        link_s=settings.link_s,
        session_s=settings.session_s,
        idle_s=settings.idle_s,
        heartbeat_ms=settings.heartbeat_ms,
        start_ms=settings.start_ms,
        start_bandwidth_bps=settings.start_bandwidth_bps,
    )
    parts.jobs += [
        relay_facts(store.outbox, parts.domain("events", by="playback")),
        jobs.end_idle_sessions(service),
    ]


async def _play_sessions(parts: Parts, place: str) -> Any:
    match url.scheme(place):
        case "redis" | "rediss" | "unix":
            from matinee.playback.adapters.redis import RedisSessionStore

            return await RedisSessionStore.open(await parts.redis("playback.store", place))
        case _:
            from matinee.playback.adapters.sql import SqlSessionStore

            return await SqlSessionStore.open(await parts.database("playback.store", place))


BUILDERS: dict[str, Callable[[Parts], Awaitable[None]]] = {
    "events": _events,
    "catalogue": _catalogue,
    "identity": _identity,
    "licensing": _licensing,
    "viewing": _viewing,
    "steering": _steering,
    "encoding": _encoding,
    "playback": _playback,
}
