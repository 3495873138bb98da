"""Cassandra through acsylla, an asyncio binding of the C++ driver: one keyspace, with prepared statements.

A statement goes to a replica in the local data centre. An idempotent one is also sent to the next node when the first
has not answered within `SPECULATE_MS`, so that a hanging node delays a call by that time and not until its time-out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import acsylla
from acsylla import Consistency, errors

from matinee.drivers.cassandra_faults import AttemptLimits, ErrorTranslation
from matinee.drivers.cassandra_url import CassandraUrl
from matinee.drivers.engine import (
    EngineUnavailable,
    SchemaAhead,
    StoreEmpty,
    WrongVersion,
    describe_engine,
    to_operation,
)
from matinee.kit import context, ids
from matinee.kit.context import traced
from matinee.kit.problem import DeadlineExceeded

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
LOCAL_QUORUM: Final = Consistency.LOCAL_QUORUM
LOCAL_ONE: Final = Consistency.LOCAL_ONE
OLDEST: Final = (4, 1)
LIMIT_S: Final = 3.0
ATTEMPT_S: Final = 1.0
CONNECT_S: Final = 5.0
# A change of the schema is rare, and takes many times as long as a read: on a busy machine more than ten seconds.
SCHEMA_S: Final = 60.0
# Attempts of a call within `LIMIT_S`; more in proportion to a longer limit.
TRIES: Final = 3
MOST_PAUSE_S: Final = 1.0
SPECULATE_MS: Final = 100
SPECULATIONS: Final = 2
# A node that does not answer heartbeats is not used until it does.
HEARTBEAT_S: Final = 1
IDLE_S: Final = 4
RECONNECT_MS: Final = (250, 1000)
CHECK_S: Final = 2.0
KEYSPACE_RETRY_S: Final = 0.05


class Query(NamedTuple):
    """A statement of CQL and its consistency. It is `idempotent` unless it has a condition (`IF`) or counts."""

    cql: str
    consistency: Consistency = LOCAL_QUORUM
    idempotent: bool = True


# Reads how many steps of a schema are done, from the table that `cassandra_schema` creates.
VERSION: Final = Query("SELECT version FROM schema_version WHERE name = ?")
Change: TypeAlias = tuple[Query, Sequence[Any]]


class Cassandra:
    """One keyspace of a cluster. Use as `async with Cassandra(url) as cassandra:`.

    `limit_s` limits a call with its retries, `attempt_s` each attempt; the request's deadline limits both. With `lazy`
    the first call connects. All calls raise EngineUnavailable (the statement may or may not have been executed),
    StoreEmpty, StoreFull, DeadlineExceeded.
    """

    def __init__(self, url: str, *, limit_s: float = LIMIT_S, attempt_s: float = ATTEMPT_S, lazy: bool = False) -> None:
        self._url = CassandraUrl.parse(url)
        self.engine = describe_engine(url)
        self._translation = ErrorTranslation(self.engine)
        self._executing, self._batching = (to_operation(self.engine, name) for name in ("execute", "batch"))
        self._limits = AttemptLimits(self._translation, attempt_s)
        self._limit_s, self._lazy = limit_s, lazy
        self._tries = max(TRIES, round(TRIES * limit_s / LIMIT_S))
        self._cluster = _create_cluster(self._url, attempt_s)
        self._session: Any = None
        self._prepared: dict[str, Any] = {}
        self.schemas: dict[str, int] = {}  # the schemas in use, with the number of their steps
        self._preparing = asyncio.Lock()
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Cassandra:
        """Connect. Raises EngineUnavailable; WrongVersion where the engine is older than 4.1."""
        if not self._lazy:
            await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._prepared.clear()
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        if self._session is not None:
            await self._session.close()

    @property
    def keyspace(self) -> str:
        """The keyspace's name."""
        return self._url.keyspace

    async def fetch(self, query: Query, *values: Any) -> list[Row]:
        """Execute a statement and return its rows."""
        if self._session is None:
            await self._connect()
        ends_at, tries = self._compute_end(), 0
        while True:
            try:
                with traced(self._executing), self._limits.until(ends_at):
                    prepared = self._prepared.get(query.cql) or await self._prepare(query.cql)
                    found = await self._session.execute(self._bind(prepared, query, values))
                    return [row.as_tuple() for row in found]
            except EngineUnavailable as error:
                tries = await self._pause(error, tries + 1, ends_at, is_idempotent=query.idempotent)

    async def execute(self, query: Query, *values: Any) -> None:
        """Execute a statement without a result."""
        await self.fetch(query, *values)

    async def execute_conditional(self, query: Query, *values: Any) -> bool:
        """Execute a lightweight transaction (`IF …`) and return whether its condition was met."""
        found = await self.fetch(query, *values)
        return bool(found[0][0])

    async def execute_batch(self, *changes: Change) -> None:
        """Execute several changes in one round trip; they are atomic within each partition, not across partitions."""
        if self._session is None:
            await self._connect()
        ends_at, tries = self._compute_end(), 0
        while True:
            try:
                with traced(self._batching), self._limits.until(ends_at):
                    await self._session.execute_batch(await self._build_batch(changes))
                    return
            except EngineUnavailable as error:
                tries = await self._pause(error, tries + 1, ends_at)

    async def check(self) -> None:
        """Read the version of every schema in use. Raises what all calls raise, and SchemaAhead."""
        with context.with_timeout(round(CHECK_S * 1000)):
            try:
                await self._check_schemas()
            except EngineUnavailable:
                await self._check_keyspace()
                raise

    async def _check_schemas(self) -> None:
        if not self.schemas:
            await self.fetch(Query("SELECT release_version FROM system.local", LOCAL_ONE))
        for name, version in self.schemas.items():
            rows = await self.fetch(VERSION, name)
            if not rows or (rows[0][0] or 0) < version:
                raise StoreEmpty(store=name, detail=f"{self.engine} has lost the tables of {name}.")
            if rows[0][0] > version:
                raise SchemaAhead(store=name, detail=f"{self.engine} has tables of {name} that a newer Matinee wrote.")

    async def _check_keyspace(self) -> None:
        """Raise StoreEmpty where the keyspace is missing: connections then fail without naming the reason."""
        with self._translation:
            session = await self._cluster.create_session()
            try:
                names = await _execute_unprepared(session, "SELECT keyspace_name FROM system_schema.keyspaces")
            finally:
                await session.close()
        if (self._url.keyspace,) not in names:
            raise StoreEmpty(store=self._url.keyspace, detail=f"{self.engine} has lost {self._url.keyspace}.")

    async def fetch_now_ms(self) -> int:
        """Return a node's time, in milliseconds since 1970."""
        found = await self.fetch(Query("SELECT toUnixTimestamp(now()) FROM system.local", LOCAL_ONE))
        return int(found[0][0])

    async def change_schema(self, cql: str) -> None:
        """Change the schema through the one node that every process uses for it, and wait until all nodes agree."""
        if self._session is None:
            await self._connect()
        await self._change_schema(self._session, cql)

    async def _build_batch(self, changes: Sequence[Change]) -> Any:
        batch = acsylla.create_batch_unlogged()
        for query, values in changes:
            batch.add_statement((self._prepared.get(query.cql) or await self._prepare(query.cql)).bind(values))
        if changes[0][0].consistency is not LOCAL_QUORUM:
            batch.set_consistency(changes[0][0].consistency)
        batch.set_is_idempotent(True)
        return batch

    def _bind(self, prepared: Any, query: Query, values: Sequence[Any]) -> Any:
        statement = prepared.bind(values)
        if query.consistency is not LOCAL_QUORUM:  # which is the cluster's default; setting it is expensive
            statement.set_consistency(query.consistency)
        if query.idempotent:
            statement.set_is_idempotent(True)
        else:
            statement.set_serial_consistency(Consistency.SERIAL)
        return statement

    async def _prepare(self, cql: str) -> Any:
        async with self._preparing:
            prepared = self._prepared.get(cql)
            if prepared is None:
                prepared = self._prepared[cql] = await self._session.create_prepared(cql)
            return prepared

    def _compute_end(self) -> float:
        """Return when a call that begins now must end. Raises DeadlineExceeded."""
        limit_s = context.current().shorten_s(self._limit_s)
        if not limit_s:
            raise DeadlineExceeded(service="cassandra")
        return time.monotonic() + limit_s

    async def _pause(self, error: EngineUnavailable, tries: int, ends_at: float, *, is_idempotent: bool = True) -> int:
        """Pause before a retry and return the number of attempts so far; raise the error if no retry is left."""
        pause_s = random.uniform(0, min(0.05 * 2**tries, MOST_PAUSE_S))  # noqa: S311 - not a secret
        if isinstance(error.__cause__, errors.CassErrorLibNoHostsAvailable):
            self._prepared.clear()  # preparing reports whether the tables are lost
            # The driver has not sent the statement, and it connects again only after this time.
            pause_s, is_idempotent = pause_s + RECONNECT_MS[0] / 1000, True
        if not is_idempotent or tries >= self._tries or time.monotonic() + pause_s >= ends_at:
            raise error
        await asyncio.sleep(pause_s)
        return tries

    async def _connect(self) -> None:
        """Connect, once for all callers. It is never cancelled: the library would hang on a half-open session."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._open_session())
        await asyncio.shield(self._connecting)

    async def _open_session(self) -> None:
        with self._translation:
            first = await self._cluster.create_session()
        try:
            await self._ensure_keyspace(first)
            with self._translation:
                self._session = await self._open_in_keyspace()
        finally:
            await first.close()

    async def _open_in_keyspace(self) -> Any:
        """Open a session. A new keyspace cannot be used at once, although it is in the schema."""
        ends_at = time.monotonic() + CONNECT_S
        while True:
            try:
                return await self._cluster.create_session(self._url.keyspace)
            except errors.CassErrorLibUnableToSetKeyspace:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(KEYSPACE_RETRY_S)

    async def _ensure_keyspace(self, session: Any) -> None:
        """Check the version, and create the keyspace where it is missing."""
        with self._translation:
            (version, centre), *_ = await _execute_unprepared(
                session, "SELECT release_version, data_center FROM system.local"
            )
            if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST:
                detail = f"This is Cassandra {version}; Matinee works with {OLDEST[0]}.{OLDEST[1]} and newer."
                raise WrongVersion(engine="cassandra", detail=detail)
            names = {
                name
                for (name,) in await _execute_unprepared(session, "SELECT keyspace_name FROM system_schema.keyspaces")
            }
        if self._url.keyspace not in names:
            copies = ", ".join(f"'{dc}': {count}" for dc, count in self._url.replication(centre).items())
            strategy = f"{{'class': 'NetworkTopologyStrategy', {copies}}}"
            await self._change_schema(
                session, f'CREATE KEYSPACE IF NOT EXISTS "{self._url.keyspace}" WITH replication = {strategy}'
            )

    async def _change_schema(self, session: Any, cql: str) -> None:
        # Two nodes that create the same table at once create it twice: every process uses the node of lowest address.
        with self._translation:
            hosts = await _execute_unprepared(session, "SELECT rpc_address FROM system.local")
            hosts += await _execute_unprepared(session, "SELECT native_address FROM system.peers_v2")
            for host in sorted(str(host) for (host,) in hosts):
                try:
                    await _execute_unprepared(session, cql, host=host, port=self._url.port, timeout=SCHEMA_S)
                    break
                except errors.CassErrorLibNoHostsAvailable:
                    continue
            else:
                raise EngineUnavailable(
                    engine="cassandra", detail=f"No node of {self.engine} accepts a change of the schema."
                )
        await self._wait_for_agreement(session)

    async def _wait_for_agreement(self, session: Any) -> None:
        """Wait until all nodes have the same schema. Raises EngineUnavailable after a minute."""
        ends_at = time.monotonic() + SCHEMA_S
        while time.monotonic() < ends_at:
            with self._translation:
                versions = await _execute_unprepared(session, "SELECT schema_version FROM system.local")
                versions += await _execute_unprepared(session, "SELECT schema_version FROM system.peers_v2")
            if len({version for (version,) in versions if version is not None}) == 1:
                return
            await asyncio.sleep(0.1)
        raise EngineUnavailable(engine="cassandra", detail=f"The nodes of {self.engine} do not agree on the schema.")


@lru_cache(1 << 14)
def to_uuid(kind: Callable[[str], str], text: str) -> UUID:
    """Convert an id to its UUID, without loss. Raises ValueError for one that is not of that kind."""
    prefix, _, rest = text.rpartition("_")
    if prefix != ids.PREFIXES[kind]:
        raise ValueError(f"not an id of this kind: {text[:64]!r}")
    return ids.decode(rest)


@lru_cache(1 << 14)
def from_uuid(kind: Callable[[str], T], value: str) -> T:
    """Convert the UUID in a row to an id."""
    return kind(f"{ids.PREFIXES[kind]}_{ids.encode(UUID(value))}")


def _create_cluster(url: CassandraUrl, attempt_s: float) -> Any:
    return acsylla.create_cluster(
        url.hosts,
        port=url.port,
        username=url.user or None,
        password=url.password or None,
        connect_timeout=CONNECT_S,
        request_timeout=attempt_s,
        consistency=LOCAL_QUORUM,
        load_balance_dc_aware=url.centre or None,
        token_aware_routing=True,
        speculative_execution_policy=acsylla.SpeculativeExecutionPolicy(SPECULATE_MS, SPECULATIONS),
        heartbeat_interval_sec=HEARTBEAT_S,
        idle_timeout_sec=IDLE_S,
        # The library always applies this policy, and its default is up to a minute.
        exponential_reconnect_base_delay_ms=RECONNECT_MS[0],
        exponential_reconnect_max_delay_ms=RECONNECT_MS[1],
        retry_policy="fallthrough",  # `fetch` and `execute_batch` retry
        application_name="matinee",
        log_level="disabled",  # failures are raised
    )


async def _execute_unprepared(
    session: Any, cql: str, *, host: str = "", port: int = 0, timeout: float = ATTEMPT_S
) -> list[Row]:
    """Execute a statement without preparing it."""
    statement = acsylla.create_statement(cql, timeout=timeout, consistency=Consistency.LOCAL_ONE)
    if host:
        statement.set_host(host, port)
    return [row.as_tuple() for row in await session.execute(statement)]
