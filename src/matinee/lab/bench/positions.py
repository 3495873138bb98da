"""Positions on Cassandra through the service and the store, beside the bare driver with the same statements."""

from __future__ import annotations

import itertools
import os
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import acsylla
import uvloop

from matinee.drivers.cassandra import Cassandra
from matinee.events.api import FactRecord, PositionMoved, new_record
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, TitleId, derive
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench, time_in_turns
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position
from matinee.viewing.service import ViewingService

AREA = "positions"
# 0.8 of the bare driver's rate for the store, and 0.5 for the service, as times.
STORE_GOAL, SERVICE_GOAL = 1.25, 2.0
IN_FLIGHT, PROFILES = 64, 200
_READ = (
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_READ_TITLES = (
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id IN ?"
)
_APPEND_FACT = "INSERT INTO viewing_outbox (shard, bucket, seq, record) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
_ADD_TO_HISTORY = (
    "INSERT INTO viewing_history (user_id, profile_id, month, title_id, episode_id, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_WRITE = (
    "UPDATE playback_state USING TIMESTAMP ? SET months = months + ?, stands = ?, updated_at = ?, device_id = ?,"
    " position_ms = ?, duration_ms = ? WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_FILM = UUID(int=0)


def measure(bench: Bench) -> list[Figure]:
    """Measure; takes about two minutes.

    Many short rounds, because compaction, garbage collection and the disk vary from one second to the next.
    """
    with bench.open_engines("cassandra") as urls:
        return uvloop.run(_measure(urls["cassandra"], bench.size(1_000, 64), bench.size(16, 1), bench.size(60, 1)))


async def _measure(url: str, count: int, write_rounds: int, read_rounds: int) -> list[Figure]:
    clock = SystemClock()
    async with Cassandra(url) as cassandra:
        store = await CassandraViewingStore.open(cassandra, clock)
        service = ViewingService(store=store, clock=clock)
        bare = await BareDriver.open(url, clock)
        # Created beforehand, so that only the writes are measured, and others for each, so that none is a repetition.
        total = count * (write_rounds + 1)
        for_store, for_service = (
            [make_position(n, clock, salt) for n in range(total)] for salt in ("store", "service")
        )
        records = [make_record(position, clock) for position in for_store]
        try:
            written = await time_in_turns(
                bare.write,
                lambda n: store.save(for_store[n], record=records[n]),
                lambda n: service.record(position=for_service[n]),
                bare.write_position,
                count=count,
                in_flight=IN_FLIGHT,
                rounds=write_rounds,
            )
            read = await time_in_turns(
                bare.read,
                lambda n: _read(store, for_store[n % total]),
                lambda n: _read_by_service(service, for_service[n % total]),
                count=count,
                in_flight=IN_FLIGHT,
                rounds=read_rounds,
            )
        finally:
            await bare.close()
    return [*_figures("write", *written[:3]), *_figures("read", *read), _figure_without_log(written[1], written[3])]


class BareDriver:
    """The driver without our code, with the prepared statements that the store sends."""

    def __init__(self, session: Any, statements: dict[str, Any], clock: SystemClock) -> None:
        self._session = session
        self._statements = statements
        self._clock = clock
        self._shard, self._numbers = uuid4(), itertools.count()
        self._ids = [(uuid4(), uuid4()) for _ in range(PROFILES)]
        self._titles = [uuid4() for _ in range(20)]

    @classmethod
    async def open(cls, url: str, clock: SystemClock) -> Self:
        """Connect to the keyspace behind a URL, whose tables exist."""
        parts = urlsplit(url)
        cluster = acsylla.create_cluster(
            [parts.hostname], port=parts.port, consistency=acsylla.Consistency.LOCAL_QUORUM
        )
        session = await cluster.create_session(parts.path.strip("/"))
        statements = {
            cql: await session.create_prepared(cql)
            for cql in (_READ, _READ_TITLES, _APPEND_FACT, _ADD_TO_HISTORY, _WRITE)
        }
        return cls(session, statements, clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def read(self, number: int) -> None:
        """Read the position of a film."""
        await self._execute(_READ_TITLES, *self._profile(number), [self._title(number)])

    async def write(self, number: int) -> None:
        """Read, write the fact and the row of the history, and write the position."""
        now = self._clock.now()
        stamp, month = int(now.timestamp() * 1e6), now.year * 100 + now.month
        key = (*self._profile(number), self._title(number), _FILM)
        await self._execute(_READ, *key)
        batch = acsylla.create_batch_unlogged()
        fact = (self._shard, stamp // 1_000_000 * 1000, next(self._numbers), os.urandom(300), stamp)
        batch.add_statement(self._statements[_APPEND_FACT].bind(fact))
        history = (*key[:2], month, *key[2:], now, stamp)
        batch.add_statement(self._statements[_ADD_TO_HISTORY].bind(history))
        await self._session.execute_batch(batch)
        await self._write(number, key, now, stamp, month)

    async def write_position(self, number: int) -> None:
        """Write the position only: no read, no fact, no history."""
        now = self._clock.now()
        key = (*self._profile(number), self._title(number), _FILM)
        await self._write(number, key, now, int(now.timestamp() * 1e6), now.year * 100 + now.month)

    async def _write(self, number: int, key: tuple[UUID, ...], now: Any, stamp: int, month: int) -> None:
        cells = (stamp, {month}, b"bench" + bytes(17), now, "bench", number * 10, 7_200_000)
        await self._execute(_WRITE, *cells, *key)

    async def _execute(self, cql: str, *values: Any) -> list[Any]:
        return [row.as_tuple() for row in await self._session.execute(self._statements[cql].bind(values))]

    def _profile(self, number: int) -> tuple[UUID, UUID]:
        return self._ids[number % PROFILES]

    def _title(self, number: int) -> UUID:
        return self._titles[number // PROFILES % 20]


def _figures(what: str, bare: float, store: float, service: float) -> list[Figure]:
    name = "bare driver, same statements"
    return [
        make_figure(AREA, f"{what} a position: store", store, "µs", baseline=bare, baseline_name=name, goal=STORE_GOAL),
        make_figure(
            AREA, f"{what} a position: service", service, "µs", baseline=bare, baseline_name=name, goal=SERVICE_GOAL
        ),
    ]


def _figure_without_log(store: float, single: float) -> Figure:
    name = "bare driver, one UPDATE and no fact for the log"
    return make_figure(AREA, "write a position: store", store, "µs", baseline=single, baseline_name=name)


def make_position(number: int, clock: SystemClock, salt: str = "") -> Position:
    """Return a position in one of 20 films of one of some profiles; higher numbers are later."""
    profile = f"{salt}{number % PROFILES}"
    return Position(
        account_id=derive(AccountId, "bench", profile),
        profile_id=derive(ProfileId, "bench", profile),
        title_id=derive(TitleId, "bench", str(number // PROFILES % 20)),
        position_ms=number * 10,
        duration_ms=7_200_000,
        updated_at=clock.now() - timedelta(hours=1) + timedelta(milliseconds=number),
        device_id=DeviceId("bench"),
    )


def make_record(position: Position, clock: SystemClock) -> FactRecord:
    """Return the fact of a position."""
    now = clock.now()
    moved = PositionMoved(
        account_id=position.account_id,
        profile_id=position.profile_id,
        title_id=position.title_id,
        position_ms=position.position_ms,
        duration_ms=position.duration_ms,
        device_id=position.device_id,
        updated_at=position.updated_at,
    )
    return new_record(moved, key=position.profile_id, now=now)


async def _read(store: CassandraViewingStore, key: Position) -> None:
    await store.list_by_titles(key.account_id, key.profile_id, [key.title_id])


async def _read_by_service(service: ViewingService, key: Position) -> None:
    await service.get_position(account_id=key.account_id, profile_id=key.profile_id, title_id=key.title_id)
