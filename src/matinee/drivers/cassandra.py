"""Cassandra by acsylla (the C++ driver, awaited): one keyspace, its statements prepared once each.

A URL is `cassandra://[user:password@]host:port[,host:port…]/keyspace[?dc=…&replication=…]`. All hosts share one port.
`dc` is the data centre that is asked first (that of the first host that answers, where it is not said); `replication`
is what a keyspace is made with that is not there: `3`, or `eu:3,us:3`; 1 where it is not said.

A statement goes to a replica in the near data centre. One that may be done twice is also sent to the next node when
the first has not answered within `SPECULATE_MS`, so that a node that stands still costs that, and not a time-out.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import acsylla
from acsylla import Consistency, errors

from matinee.drivers.cassandra_faults import Limits, Told
from matinee.drivers.engine import EngineUnavailable, SchemaAhead, StoreEmpty, WrongVersion, describe_engine
from matinee.kit import context, ids
from matinee.kit.problem import DeadlineExceeded

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
LOCAL_QUORUM: Final = Consistency.LOCAL_QUORUM
LOCAL_ONE: Final = Consistency.LOCAL_ONE
OLDEST: Final = (4, 1)
PORT: Final = 9042
LIMIT_S: Final = 3.0
ATTEMPT_S: Final = 1.0
CONNECT_S: Final = 5.0
TRIES: Final = 3
SPECULATE_MS: Final = 100
SPECULATIONS: Final = 2
# A node that does not answer these is taken out until it answers again.
HEARTBEAT_S: Final = 1
SILENT_S: Final = 4
RECONNECT_MS: Final = (250, 1000)
CHECK_S: Final = 2.0
AGREE_S: Final = 0.05
# A host, or an IPv6 address in brackets, and its port.
_HOST: Final = re.compile(r"([^:\[\]]+|\[[0-9a-f:]+\])(?::(\d+))?")
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


class Query(NamedTuple):
    """A statement of CQL, how many replicas it needs, and whether it may be done twice (`IF` may not)."""

    cql: str
    consistency: Consistency = LOCAL_QUORUM
    idempotent: bool = True


# How many steps of a schema are done; `cassandra_schema` keeps the table.
VERSION: Final = Query("SELECT version FROM schema_version WHERE name = ?")
Change: TypeAlias = tuple[Query, Sequence[Any]]


class Cassandra:
    """One keyspace of a cluster. Use as `async with Cassandra(url) as cassandra:`.

    `limit_s` bounds a call with its repetitions, `attempt_s` one of them; the request's deadline bounds both.
    `lazy`: it is connected to by whoever calls first, and may be away until then.
    All calls raise EngineUnavailable (what was sent may or may not have been done), StoreEmpty, StoreFull, DeadlineExceeded.
    """

    def __init__(self, url: str, *, limit_s: float = LIMIT_S, attempt_s: float = ATTEMPT_S, lazy: bool = False) -> None:
        self._place = _Place.of(url)
        self.engine = describe_engine(url)
        self._told = Told(self.engine)
        self._limits = Limits(self._told, attempt_s)
        self._limit_s, self._lazy = limit_s, lazy
        self._cluster = _cluster(self._place, attempt_s)
        self._session: Any = None
        self._prepared: dict[str, Any] = {}
        self.schemas: dict[str, int] = {}  # those in use, and how many of their steps are done
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
        return self._place.keyspace

    async def fetch(self, query: Query, *values: Any) -> list[Row]:
        """The rows that a statement answers with."""
        if self._session is None:
            await self._connect()
        ends_at, tries = self._ends_at(), 0
        while True:
            try:
                with self._limits.until(ends_at):
                    prepared = self._prepared.get(query.cql) or await self._prepare(query.cql)
                    found = await self._session.execute(self._bound(prepared, query, values))
                    return [row.as_tuple() for row in found]
            except EngineUnavailable as error:
                tries = await self._again(error, tries + 1 if query.idempotent else TRIES, ends_at)

    async def execute(self, query: Query, *values: Any) -> None:
        """Do a statement that answers nothing."""
        await self.fetch(query, *values)

    async def execute_conditional(self, query: Query, *values: Any) -> bool:
        """Whether the condition (`IF …`) of a lightweight transaction held, and so the change was made."""
        found = await self.fetch(query, *values)
        return bool(found[0][0])

    async def execute_batch(self, *changes: Change) -> None:
        """Several changes on one journey: those of one partition as one, those of several each by itself."""
        if self._session is None:
            await self._connect()
        ends_at, tries = self._ends_at(), 0
        while True:
            try:
                with self._limits.until(ends_at):
                    await self._session.execute_batch(await self._batch(changes))
                    return
            except EngineUnavailable as error:
                tries = await self._again(error, tries + 1, ends_at)

    async def check(self) -> None:
        """Ask for the version of every schema in use. Raises what all calls raise, and SchemaAhead."""
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
                raise SchemaAhead(store=name, detail=f"{self.engine} has tables of {name} of a newer Matinee.")

    async def _check_keyspace(self) -> None:
        """Whether it is the keyspace that is away, without which there are no connections."""
        with self._told:
            session = await self._cluster.create_session()
            try:
                names = await _plain(session, "SELECT keyspace_name FROM system_schema.keyspaces")
            finally:
                await session.close()
        if (self._place.keyspace,) not in names:
            raise StoreEmpty(store=self._place.keyspace, detail=f"{self.engine} has lost {self._place.keyspace}.")

    async def fetch_now_ms(self) -> int:
        """A node's time, in milliseconds since 1970."""
        found = await self.fetch(Query("SELECT toUnixTimestamp(now()) FROM system.local", LOCAL_ONE))
        return int(found[0][0])

    async def change_schema(self, cql: str) -> None:
        """Change the schema, through the one node that all who do so choose, and wait until all nodes have it."""
        if self._session is None:
            await self._connect()
        await self._define(self._session, cql)

    async def _batch(self, changes: Sequence[Change]) -> Any:
        batch = acsylla.create_batch_unlogged()
        for query, values in changes:
            batch.add_statement((self._prepared.get(query.cql) or await self._prepare(query.cql)).bind(values))
        if changes[0][0].consistency is not LOCAL_QUORUM:
            batch.set_consistency(changes[0][0].consistency)
        batch.set_is_idempotent(True)
        return batch

    def _bound(self, prepared: Any, query: Query, values: Sequence[Any]) -> Any:
        statement = prepared.bind(values)
        if query.consistency is not LOCAL_QUORUM:  # the cluster's own; this is done for each call, and dear
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

    def _ends_at(self) -> float:
        """When a call that begins now has to have ended. Raises DeadlineExceeded."""
        left_ms = context.current().remaining_ms()
        if left_ms == 0:
            raise DeadlineExceeded(service="cassandra")
        return time.monotonic() + (self._limit_s if left_ms is None else min(self._limit_s, left_ms / 1000))

    async def _again(self, error: EngineUnavailable, tries: int, ends_at: float) -> int:
        """Pause before a call is repeated, for the engine is away; tells how often it was tried. Else raises that."""
        if isinstance(error.__cause__, errors.CassErrorLibNoHostsAvailable):
            self._prepared.clear()  # where the tables are gone, it is preparing that says so
        pause_s = random.uniform(0, 0.05 * 2**tries)  # noqa: S311 - spreads load, guards nothing
        if tries >= TRIES or time.monotonic() + pause_s >= ends_at:
            raise error
        await asyncio.sleep(pause_s)
        return tries

    async def _connect(self) -> None:
        """Connect, once for all who ask. It is not cancelled: the library hangs where a session is half made."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._made())
        await asyncio.shield(self._connecting)

    async def _made(self) -> None:
        with self._told:
            first = await self._cluster.create_session()
        try:
            await self._make_keyspace(first)
            with self._told:
                self._session = await self._in_keyspace()
        finally:
            await first.close()

    async def _in_keyspace(self) -> Any:
        """A session. A keyspace that another has just made stands in the schema a moment before it can be used."""
        ends_at = time.monotonic() + CONNECT_S
        while True:
            try:
                return await self._cluster.create_session(self._place.keyspace)
            except errors.CassErrorLibUnableToSetKeyspace:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(AGREE_S)

    async def _make_keyspace(self, session: Any) -> None:
        """Check the version and, where the keyspace is not there, make it."""
        with self._told:
            (version, centre), *_ = await _plain(session, "SELECT release_version, data_center FROM system.local")
            if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST:
                detail = f"This is Cassandra {version}; Matinee works with {OLDEST[0]}.{OLDEST[1]} and newer."
                raise WrongVersion(engine="cassandra", detail=detail)
            names = {name for (name,) in await _plain(session, "SELECT keyspace_name FROM system_schema.keyspaces")}
        if self._place.keyspace not in names:
            copies = ", ".join(f"'{dc}': {count}" for dc, count in self._place.replication(centre).items())
            strategy = f"{{'class': 'NetworkTopologyStrategy', {copies}}}"
            await self._define(
                session, f'CREATE KEYSPACE IF NOT EXISTS "{self._place.keyspace}" WITH replication = {strategy}'
            )

    async def _define(self, session: Any, cql: str) -> None:
        # Two nodes that make the same table at once make two tables: so everybody asks the node of the lowest address.
        with self._told:
            hosts = await _plain(session, "SELECT rpc_address FROM system.local")
            hosts += await _plain(session, "SELECT native_address FROM system.peers_v2")
            for host in sorted(str(host) for (host,) in hosts):
                try:
                    await _plain(session, cql, host=host, port=self._place.port, timeout=CONNECT_S * 2)
                    break
                except errors.CassErrorLibNoHostsAvailable:
                    continue
            else:
                raise EngineUnavailable(
                    engine="cassandra", detail=f"No node of {self.engine} takes a change of the schema."
                )
        await self._agreed(session)

    async def _agreed(self, session: Any) -> None:
        """Wait until every node has the schema of the node that is asked. Raises EngineUnavailable after ten seconds."""
        ends_at = time.monotonic() + CONNECT_S * 2
        while time.monotonic() < ends_at:
            with self._told:
                versions = await _plain(session, "SELECT schema_version FROM system.local")
                versions += await _plain(session, "SELECT schema_version FROM system.peers_v2")
            if len({version for (version,) in versions if version is not None}) == 1:
                return
            await asyncio.sleep(0.1)
        raise EngineUnavailable(engine="cassandra", detail=f"The nodes of {self.engine} do not agree on the schema.")


@lru_cache(1 << 14)
def to_uuid(kind: Callable[[str], str], text: str) -> UUID:
    """The UUID of one of our ids, which nothing is lost in. Raises ValueError for what is no id of that kind."""
    prefix, _, rest = text.rpartition("_")
    if prefix != ids.PREFIXES[kind]:
        raise ValueError(f"not an id of this kind: {text[:64]!r}")
    return ids.decode(rest)


@lru_cache(1 << 14)
def from_uuid(kind: Callable[[str], T], value: str) -> T:
    """The id of a UUID, as a row has it."""
    return kind(f"{ids.PREFIXES[kind]}_{ids.encode(UUID(value))}")


class _Place(NamedTuple):
    """What a URL says."""

    hosts: list[str]
    port: int
    keyspace: str
    user: str
    password: str
    centre: str
    copies: str

    @classmethod
    def of(cls, url: str) -> _Place:
        """Raises ValueError for a URL without a keyspace, or with hosts of several ports."""
        parts = urlsplit(url)
        credentials, _, netloc = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        pairs = [_HOST.fullmatch(host) for host in netloc.split(",")]
        ports = {int(pair[2] or 0) for pair in pairs if pair} - {0} or {PORT}
        keyspace = parts.path.strip("/")
        if None in pairs or len(ports) != 1 or not _KEYSPACE.fullmatch(keyspace):
            raise ValueError(
                "cassandra://host:port,host:port/keyspace: one port for all hosts, and a keyspace in small letters,"
                " digits and underscores, its first a letter."
            )
        said = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return cls(
            hosts=[pair[1].strip("[]") for pair in pairs if pair],
            port=ports.pop(),
            keyspace=keyspace,
            user=unquote(user),
            password=unquote(password),
            centre=said.get("dc", ""),
            copies=said.get("replication", "1"),
        )

    def replication(self, here: str) -> dict[str, int]:
        """Copies by data centre; `here` is the one that was reached."""
        named_ones = [part.rpartition(":") for part in self.copies.split(",")]
        return {centre or self.centre or here: int(count) for centre, _, count in named_ones}


def _cluster(place: _Place, attempt_s: float) -> Any:
    return acsylla.create_cluster(
        place.hosts,
        port=place.port,
        username=place.user or None,
        password=place.password or None,
        connect_timeout=CONNECT_S,
        request_timeout=attempt_s,
        consistency=LOCAL_QUORUM,
        load_balance_dc_aware=place.centre or None,
        token_aware_routing=True,
        speculative_execution_policy=acsylla.SpeculativeExecutionPolicy(SPECULATE_MS, SPECULATIONS),
        heartbeat_interval_sec=HEARTBEAT_S,
        idle_timeout_sec=SILENT_S,
        # The library's own default (up to a minute) is set over a constant delay, so it has to be this one.
        exponential_reconnect_base_delay_ms=RECONNECT_MS[0],
        exponential_reconnect_max_delay_ms=RECONNECT_MS[1],
        retry_policy="fallthrough",  # repetitions are ours to count
        application_name="matinee",
        log_level="disabled",  # what it has to say comes as errors
    )


async def _plain(session: Any, cql: str, *, host: str = "", port: int = 0, timeout: float = ATTEMPT_S) -> list[Row]:
    """A statement that is not worth preparing."""
    statement = acsylla.create_statement(cql, timeout=timeout, consistency=Consistency.LOCAL_ONE)
    if host:
        statement.set_host(host, port)
    return [row.as_tuple() for row in await session.execute(statement)]
