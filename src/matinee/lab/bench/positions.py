"""Positions on Cassandra through the service and the store, beside the bare driver with the same statements."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import acsylla

from matinee.drivers.cassandra import Cassandra
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, TitleId, derive
from matinee.lab.bench.harness import Bench, time_in_turns
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position
from matinee.viewing.service import ViewingService

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
_ADD_TO_HISTORY = (
    "INSERT INTO viewing_history (user_id, profile_id, month, title_id, episode_id, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_WRITE = (
    "UPDATE playback_state USING TIMESTAMP ? SET months = months + ?, stands = ?, updated_at = ?, device_id = ?,"
    " position_ms = ?, duration_ms = ? WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_FILM = UUID(int=0)


async def measure(bench: Bench) -> None:
    """Measure; takes about two minutes.

    Many short rounds, because compaction, garbage collection and the disk vary from one second to the next.
    """
    url, clock, count, rounds = bench.open_engine("cassandra"), SystemClock(), bench.size(1_000, 64), bench.size(16, 1)
    store = await CassandraViewingStore.open(await bench.stack.enter_async_context(Cassandra(url)), clock)
    service = ViewingService(store=store, clock=clock)
    bare = await BareDriver.open(url, clock)
    bench.stack.push_async_callback(bare.close)
    # Created beforehand, so that only the writes are measured, and others for each, so that none is a repetition.
    total = count * (rounds + 1)
    for_store, for_service = ([make_position(n, clock, salt) for n in range(total)] for salt in ("store", "service"))
    same, single = "bare driver, same statements", "bare driver, one UPDATE"
    written = await time_in_turns(
        {
            same: bare.write,
            "store": lambda n: store.save(for_store[n], now=clock.now()),
            "service": lambda n: service.record(position=for_service[n]),
            single: bare.write_position,
        },
        count=count,
        in_flight=IN_FLIGHT,
        rounds=rounds,
    )
    read = await time_in_turns(
        {
            same: bare.read,
            "store": lambda n: _read(store, for_store[n % total]),
            "service": lambda n: _read_by_service(service, for_service[n % total]),
        },
        count=count,
        in_flight=IN_FLIGHT,
        rounds=bench.size(60, 1),
    )
    for verb, (baseline, by_store, by_service) in (("write", written[:3]), ("read", read)):
        bench.report(f"{verb} a position: store", by_store, "µs", baseline=baseline, max_ratio=STORE_GOAL)
        bench.report(f"{verb} a position: service", by_service, "µs", baseline=baseline, max_ratio=SERVICE_GOAL)
    bench.report("write a position: store", written[1], "µs", baseline=written[3])


class BareDriver:
    """The driver without our code, with the prepared statements that the store sends."""

    def __init__(self, session: Any, statements: dict[str, Any], clock: SystemClock) -> None:
        self._session = session
        self._statements = statements
        self._clock = clock
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
        statements = {cql: await session.create_prepared(cql) for cql in (_READ, _READ_TITLES, _ADD_TO_HISTORY, _WRITE)}
        return cls(session, statements, clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def read(self, number: int) -> None:
        """Read the position of a film."""
        await self._execute(_READ_TITLES, *self._profile(number), [self._title(number)])

    async def write(self, number: int) -> None:
        """Read, write the row of the history, and write the position."""
        now = self._clock.now()
        stamp, month = int(now.timestamp() * 1e6), now.year * 100 + now.month
        key = (*self._profile(number), self._title(number), _FILM)
        await self._execute(_READ, *key)
        await self._execute(_ADD_TO_HISTORY, *key[:2], month, *key[2:], now, stamp)
        await self._write(number, key, now, stamp, month)

    async def write_position(self, number: int) -> None:
        """Write the position only: no read, no history."""
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


async def _read(store: CassandraViewingStore, key: Position) -> None:
    await store.list_by_titles(key.account_id, key.profile_id, [key.title_id])


async def _read_by_service(service: ViewingService, key: Position) -> None:
    await service.get_position(account_id=key.account_id, profile_id=key.profile_id, title_id=key.title_id)
