"""The registration of a domain, and what its builder works with.

Each domain's `domain.py` holds one `DOMAIN`. Adapters are chosen there, by URL scheme; only the chosen one is imported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from matinee.drivers.engine import EngineClient
from matinee.drivers.metrics import Metrics
from matinee.kit import url
from matinee.kit.clock import Clock
from matinee.mesh.client import bind_remote
from matinee.mesh.executor.ports import Executor
from matinee.mesh.hosting.runtime import Runtime
from matinee.mesh.hosting.settings import BadSettings, Deployment, Objects, Section
from matinee.mesh.jobs import Job
from matinee.mesh.schedules.scheduler import Work
from matinee.mesh.service import Service, Services

if TYPE_CHECKING:
    from matinee.drivers.cache import CacheClient
    from matinee.drivers.cassandra import Cassandra
    from matinee.drivers.opensearch import OpenSearch
    from matinee.drivers.redis import Redis
    from matinee.drivers.sql import Database

T = TypeVar("T")
MAX_JOBS_OF_ONE_NAME = 9


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a worker process: its name, its port, and its number among the workers of that port."""

    name: str
    port: int
    worker: int = 0


class Domain(msgspec.Struct, Generic[Section], frozen=True, kw_only=True):
    """The registration of a domain. Its name is also its *target*, by which it is served.

    `build` returns the implementation of `protocol` and adds the domain's jobs; without a `protocol` it returns an ASGI
    application. `needs` are the Protocols that the domain calls. `prepare` runs in each process that serves the domain
    or needs it, before any `build`; the implementation it may return serves the calls of that process. For a target
    that has processes of its own, `run` replaces both; it yields their address. `store` is the setting that names the
    SQL store, `own_process` keeps the domain out of the processes of others by default.
    """

    name: str
    section: type[Section]
    protocol: type[Any] | None = None
    needs: tuple[type[Any], ...] = ()
    build: Callable[[Wiring[Section]], Awaitable[Any]] | None = None
    prepare: Callable[[Wiring[Section]], Awaitable[Any]] | None = None
    run: Callable[[Wiring[Section], WorkerOptions], AbstractAsyncContextManager[str]] | None = None
    store: str = ""
    own_process: bool = False


class Process:
    """A process under construction: the services it serves, the jobs that run beside them, what they share."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        domains: Mapping[str, Domain[Any]],
        stack: AsyncExitStack,
        metrics: Metrics,
    ) -> None:
        self.runtime = runtime
        self.stack = stack
        self.metrics = metrics
        self.services: dict[str, Any] = {}
        self.prepared: dict[str, Any] = {}
        self.jobs: dict[str, Job] = {}
        self.schedules: dict[str, tuple[str, Work]] = {}
        self.factories: dict[type[Any], Callable[[Wiring[Any]], Any]] = {}
        self._names = {domain.protocol: name for name, domain in domains.items()}
        mesh = runtime.settings.mesh
        self._local = Services(metrics, limit_ms=mesh.call_ms, force_wire=mesh.force_wire)
        self._cache: CacheClient | None = None

    def client(self, protocol: type[T], *, caller: str) -> T:
        """Return a client of a domain: bound to this process where it serves the domain, else to the mesh."""
        name = self._names[protocol]
        implementation = self.services.get(name) or self.prepared.get(name)
        client: T
        if implementation is None:
            client = bind_remote(protocol, name, self.runtime.client, caller=caller)
        else:
            self._local.add(name, protocol, implementation)
            client = self._local.bind(name, caller=caller)
        return client

    @property
    def served(self) -> list[Service]:
        """The services to serve to other processes."""
        protocols = {name: protocol for protocol, name in self._names.items() if protocol is not None}
        return [self._local.add(name, protocols[name], service) for name, service in self.services.items()]

    async def cache(self) -> CacheClient:
        """Return the client of the cache, one for the process. Raises BadSettings for an unknown engine."""
        from matinee.drivers.cache import CacheMetrics
        from matinee.drivers.cache.opening import open_cache_client

        if self._cache is None:
            settings = self.runtime.settings.cache
            try:
                self._cache = await open_cache_client(
                    settings.engine,
                    stack=self.stack,
                    metrics=CacheMetrics(self.metrics),
                    clock=self.runtime.clock,
                    timeout_ms=settings.call_ms,
                )
            except ValueError as error:
                raise BadSettings(detail=f"cache.engine: {error}") from error
            if url.scheme(settings.engine) != "memory":
                self.runtime.engines.add(self._cache.engine, used_for="cache.engine", needed=False)
        return self._cache


class Wiring(Generic[Section]):
    """What the builder of one domain works with. A `key` is the name of a setting in the domain's own section."""

    def __init__(self, process: Process, domain: Domain[Section]) -> None:
        self._process = process
        self._domain = domain
        self.runtime = process.runtime
        self.settings: Section = process.runtime.settings.of(domain.section)
        self.deployment: Deployment = process.runtime.settings.deployment
        self.objects: Objects = process.runtime.settings.objects
        self.clock: Clock = process.runtime.clock
        self.executor: Executor = process.runtime.executor
        self.metrics = process.metrics
        self.stack = process.stack

    def client(self, protocol: type[T]) -> T:
        """Return a client of a domain that this one needs. Raises LookupError for one that is not listed in `needs`."""
        if protocol not in self._domain.needs:
            raise LookupError(f"{self._domain.name} does not list {protocol.__name__} in its needs")
        return self._process.client(protocol, caller=self._domain.name)

    def add_job(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any, **kwargs: Any) -> None:
        """Run a coroutine function beside the process's services, from when all of them are built."""
        name = f"{self._domain.name}.{work.__name__}"
        names = (name, *(f"{name}-{number}" for number in range(2, MAX_JOBS_OF_ONE_NAME + 1)))
        self._process.jobs[next(n for n in names if n not in self._process.jobs)] = lambda: work(*args, **kwargs)

    def add_schedule(
        self, expression: str, work: Callable[..., Coroutine[Any, Any, object]], *args: Any, **kwargs: Any
    ) -> None:
        """Run a coroutine function once per deployment at the times of `@every 5m` or a cron expression in UTC.

        Its name is the domain's and the function's; a failed run is recorded, and the next one follows as scheduled.
        """
        name = f"{self._domain.name}.{work.__name__}"
        self._process.schedules[name] = (expression, lambda: work(*args, **kwargs))

    def provide(self, kind: type[T], factory: Callable[[Wiring[Any]], T]) -> None:
        """Provide an object that is used within the process. The factory receives the wiring of its user."""
        self._process.factories[kind] = factory

    def get_provided(self, kind: type[T]) -> T:
        """Return an object that a needed domain provides."""
        found: T = self._process.factories[kind](self)
        return found

    def scheme(self, key: str) -> str:
        """Return the URL scheme of a setting."""
        return url.scheme(getattr(self.settings, key))

    def is_redis(self, key: str) -> bool:
        """Return whether a setting names a Redis."""
        return self.scheme(key) in {"redis", "rediss", "unix"}

    def make_unsupported(self, key: str, supported: str) -> BadSettings:
        """Return the problem that a setting names an engine for which there is no adapter."""
        return BadSettings(detail=f"{self._domain.name}.{key}: {self.scheme(key)!r} is not supported; use {supported}.")

    def watch(self, client: EngineClient, used_for: str, *, needed: bool = True) -> None:
        """Include an engine in the health of the process."""
        self.runtime.engines.add(client, used_for=used_for, needed=needed)

    async def cache(self) -> CacheClient:
        """Return the client of the cache (`cache.engine`), which may be unavailable."""
        return await self._process.cache()

    async def database(self, key: str, *, has_short_rows: bool = False) -> Database:
        """Open the SQL database of a setting. Raises BadSettings for another engine."""
        if self.scheme(key) not in {"sqlite", "mysql"}:
            raise self.make_unsupported(key, "sqlite or mysql")
        from matinee.drivers.sql import Database
        from matinee.drivers.sqlite import PAGE_BYTES, SMALL_PAGE_BYTES

        database = Database(
            getattr(self.settings, key),
            backups=self.deployment.folder / "backups",
            page_bytes=SMALL_PAGE_BYTES if has_short_rows else PAGE_BYTES,
        )
        await self.stack.enter_async_context(database)
        self._watch_setting(database, key)
        return database

    async def redis(self, key: str) -> Redis:
        """Open the Redis of a setting. Raises EngineUnavailable."""
        from matinee.drivers.redis import Redis

        redis = await self.stack.enter_async_context(Redis(getattr(self.settings, key)))
        self._watch_setting(redis, key)
        return redis

    async def cassandra(self, key: str, *, needed: bool = True) -> Cassandra:
        """Open the keyspace of a setting. Raises BadSettings; if `needed`, also EngineUnavailable."""
        from matinee.drivers.cassandra import Cassandra

        try:
            cassandra = Cassandra(getattr(self.settings, key), lazy=not needed)
        except ValueError as error:
            raise BadSettings(detail=f"{self._domain.name}.{key}: {error}") from error
        await self.stack.enter_async_context(cassandra)
        self._watch_setting(cassandra, key, needed=needed)
        return cassandra

    async def opensearch(self, key: str) -> OpenSearch:
        """Open the OpenSearch of a setting, which may be unavailable. Raises BadSettings."""
        from matinee.drivers.opensearch import OpenSearch

        try:
            opensearch = await self.stack.enter_async_context(OpenSearch(getattr(self.settings, key)))
        except (ValueError, OSError) as error:
            raise BadSettings(detail=f"{self._domain.name}.{key}: {error}") from error
        self._watch_setting(opensearch, key)
        return opensearch

    def _watch_setting(self, client: EngineClient, key: str, *, needed: bool = True) -> None:
        self.watch(client, f"{self._domain.name}.{key}", needed=needed)
