"""Positions on Cassandra: through the service and the store, beside the bare driver sending the same statements."""

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
from matinee.lab.bench.figure import Figure, compared
from matinee.lab.bench.pace import engines, side_by_side
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position
from matinee.viewing.service import ViewingService

AREA = "positions"
# 0.8 of the bare driver's rate for the store, and 0.5 for the service, as times.
STORE_GOAL, SERVICE_GOAL = 1.25, 2.0
COUNT, IN_FLIGHT, PROFILES = 1_000, 64, 200
# Many short ones: what Cassandra does beside (compaction, garbage) and the disk change from one second to the next.
WRITE_ROUNDS, READ_ROUNDS = 16, 60
_READ = (
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_TITLES = (
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id IN ?"
)
_KEEP = "INSERT INTO viewing_outbox (shard, bucket, seq, record) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
_WATCHED = (
    "INSERT INTO viewing_history (user_id, profile_id, month, title_id, episode_id, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_MOVE = (
    "UPDATE playback_state USING TIMESTAMP ? SET months = months + ?, stands = ?, updated_at = ?, device_id = ?,"
    " position_ms = ?, duration_ms = ? WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_FILM = UUID(int=0)


def figures() -> list[Figure]:
    """Measure; takes about two minutes."""
    with engines("cassandra") as running:
        return uvloop.run(_measured(running["cassandra"].url("bench")))


async def _measured(url: str) -> list[Figure]:
    clock = SystemClock()
    async with Cassandra(url) as cassandra:
        store = await CassandraViewingStore.open(cassandra, clock)
        service = ViewingService(store=store, clock=clock)
        bare = await Bare.open(url, clock)
        # Made before, and other ones for each: what is measured is the way of a position, and not its making.
        count = COUNT * (WRITE_ROUNDS + 1)
        for_store, for_service = ([position(n, clock, salt) for n in range(count)] for salt in ("store", "service"))
        records = [record_of(seen, clock) for seen in for_store]
        try:
            written = await side_by_side(
                bare.write,
                lambda n: store.save(for_store[n], record=records[n]),
                lambda n: service.record(position=for_service[n]),
                bare.single,
                count=COUNT,
                in_flight=IN_FLIGHT,
                rounds=WRITE_ROUNDS,
            )
            read = await side_by_side(
                bare.read,
                lambda n: _one(store, for_store[n % count]),
                lambda n: _asked(service, for_service[n % count]),
                count=COUNT,
                in_flight=IN_FLIGHT,
                rounds=READ_ROUNDS,
            )
        finally:
            await bare.close()
    return [*_figures("write", *written[:3]), *_figures("read", *read), _plain(written[1], written[3])]


class Bare:
    """The driver alone, its statements prepared, sending what the store sends."""

    def __init__(self, session: Any, statements: dict[str, Any], clock: SystemClock) -> None:
        self._session = session
        self._statements = statements
        self._clock = clock
        self._shard, self._numbers = uuid4(), itertools.count()
        self._ids = [(uuid4(), uuid4()) for _ in range(PROFILES)]
        self._titles = [uuid4() for _ in range(20)]

    @classmethod
    async def open(cls, url: str, clock: SystemClock) -> Self:
        """Connect to the keyspace behind a URL, whose tables are there."""
        place = urlsplit(url)
        cluster = acsylla.create_cluster(
            [place.hostname], port=place.port, consistency=acsylla.Consistency.LOCAL_QUORUM
        )
        session = await cluster.create_session(place.path.strip("/"))
        known = {cql: await session.create_prepared(cql) for cql in (_READ, _TITLES, _KEEP, _WATCHED, _MOVE)}
        return cls(session, known, clock)

    async def close(self) -> None:
        """Give back the connections."""
        await self._session.close()

    async def read(self, number: int) -> None:
        """One film's position."""
        await self._do(_TITLES, *self._whose(number), [self._title(number)])

    async def write(self, number: int) -> None:
        """Look, keep the fact and the history's row, move."""
        now = self._clock.now()
        stamp, month = int(now.timestamp() * 1e6), now.year * 100 + now.month
        key = (*self._whose(number), self._title(number), _FILM)
        await self._do(_READ, *key)
        batch = acsylla.create_batch_unlogged()
        kept = (self._shard, stamp // 1_000_000 * 1000, next(self._numbers), os.urandom(300), stamp)
        batch.add_statement(self._statements[_KEEP].bind(kept))
        watched = (*key[:2], month, *key[2:], now, stamp)
        batch.add_statement(self._statements[_WATCHED].bind(watched))
        await self._session.execute_batch(batch)
        await self._move(number, key, now, stamp, month)

    async def single(self, number: int) -> None:
        """The position alone: no look, no fact, no history."""
        now = self._clock.now()
        key = (*self._whose(number), self._title(number), _FILM)
        await self._move(number, key, now, int(now.timestamp() * 1e6), now.year * 100 + now.month)

    async def _move(self, number: int, key: tuple[UUID, ...], now: Any, stamp: int, month: int) -> None:
        cells = (stamp, {month}, b"bench" + bytes(17), now, "bench", number * 10, 7_200_000)
        await self._do(_MOVE, *cells, *key)

    async def _do(self, cql: str, *values: Any) -> list[Any]:
        return [row.as_tuple() for row in await self._session.execute(self._statements[cql].bind(values))]

    def _whose(self, number: int) -> tuple[UUID, UUID]:
        return self._ids[number % PROFILES]

    def _title(self, number: int) -> UUID:
        return self._titles[number // PROFILES % 20]


def _figures(what: str, bare: float, store: float, service: float) -> list[Figure]:
    name = "bare driver, same statements"
    return [
        compared(AREA, f"{what} a position: store", store, "µs", baseline=bare, baseline_name=name, goal=STORE_GOAL),
        compared(
            AREA, f"{what} a position: service", service, "µs", baseline=bare, baseline_name=name, goal=SERVICE_GOAL
        ),
    ]


def _plain(store: float, single: float) -> Figure:
    name = "bare driver, one INSERT and nothing kept for the log"
    return compared(AREA, "write a position: store", store, "µs", baseline=single, baseline_name=name)


def position(number: int, clock: SystemClock, salt: str = "") -> Position:
    """One of many films of one of some profiles, a little later each time."""
    whose = f"{salt}{number % PROFILES}"
    return Position(
        account_id=derive(AccountId, "bench", whose),
        profile_id=derive(ProfileId, "bench", whose),
        title_id=derive(TitleId, "bench", str(number // PROFILES % 20)),
        position_ms=number * 10,
        duration_ms=7_200_000,
        updated_at=clock.now() - timedelta(hours=1) + timedelta(milliseconds=number),
        device_id=DeviceId("bench"),
    )


def record_of(seen: Position, clock: SystemClock) -> FactRecord:
    """The fact that tells of a position."""
    now = clock.now()
    moved = PositionMoved(
        account_id=seen.account_id,
        profile_id=seen.profile_id,
        title_id=seen.title_id,
        position_ms=seen.position_ms,
        duration_ms=seen.duration_ms,
        device_id=seen.device_id,
        updated_at=seen.updated_at,
    )
    return new_record(moved, key=seen.profile_id, now=now)


async def _one(store: CassandraViewingStore, key: Position) -> None:
    await store.list_by_titles(key.account_id, key.profile_id, [key.title_id])


async def _asked(service: ViewingService, key: Position) -> None:
    await service.get_position(account_id=key.account_id, profile_id=key.profile_id, title_id=key.title_id)
