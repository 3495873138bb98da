"""The same stores on SQLite and on MariaDB: the time of one read and one change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias

from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, AssetId, DeviceId, InstanceId, PlaySessionId, ProfileId, TitleId, derive
from matinee.lab.bench.harness import Bench, Call, time_in_turns
from matinee.lab.bench.positions import make_position
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.api import Instance
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.api import Capabilities
from matinee.playback.model.sessions import StoredSession
from matinee.viewing.adapters.sql import SqlViewingStore

IN_FLIGHT = 64
Calls: TypeAlias = Mapping[str, Call]
CLOCK = SystemClock()


async def measure(bench: Bench) -> None:
    """Measure; takes about half a minute."""
    urls = {"SQLite": f"sqlite:///{bench.folder}/bench.db", "MariaDB": bench.open_engine("mariadb")}
    databases = {name: await bench.stack.enter_async_context(Database(url)) for name, url in urls.items()}
    for open_store in (_sessions, _positions, _leases):
        calls = {engine: await open_store(database) for engine, database in databases.items()}
        for name in calls["SQLite"]:
            sqlite, mariadb = await time_in_turns(
                {engine: own[name] for engine, own in calls.items()},
                count=bench.size(300, 8),
                in_flight=IN_FLIGHT,
                rounds=bench.size(5, 1),
            )
            bench.report(f"{name}: MariaDB", mariadb, "µs", baseline=sqlite)


async def _sessions(database: Database) -> Calls:
    store = await SqlSessionStore.open(database)

    async def begin(number: int) -> None:
        await store.create(session=_session(number), records=[b"{}"])

    async def find(number: int) -> None:
        assert await store.find(session_id=_session(number).session_id)

    return {"begin a play session": begin, "find a play session": find}


async def _positions(database: Database) -> Calls:
    store = await SqlViewingStore.open(database)

    async def save(number: int) -> None:
        await store.save(make_position(number, CLOCK), now=CLOCK.now())

    async def read(number: int) -> None:
        key = make_position(number, CLOCK)
        await store.list_by_titles(key.account_id, key.profile_id, [key.title_id])

    return {"save a position": save, "read a position": read}


async def _leases(database: Database) -> Calls:
    registry = await SqlRegistry.open(database)
    for number in range(50):
        instance = Instance(instance_id=derive(InstanceId, str(number)), address="http://127.0.0.1:1", services=("x",))
        await registry.register(instance=instance, lease_s=3600, now=CLOCK.now())

    async def renew(number: int) -> None:
        instance_id = derive(InstanceId, str(number % 50))
        assert await registry.renew(instance_id=instance_id, lease_s=3600, now=CLOCK.now())

    return {"renew a lease": renew}


def _session(number: int) -> StoredSession:
    now = CLOCK.now()
    return StoredSession(
        session_id=derive(PlaySessionId, "bench", str(number)),
        account_id=derive(AccountId, str(number % 50)),
        profile_id=derive(ProfileId, str(number % 50)),
        device_id=DeviceId("bench"),
        title_id=derive(TitleId, "bench"),
        asset_id=derive(AssetId, "bench"),
        original_language="en",
        capabilities=Capabilities(),
        duration_ms=7_200_000,
        client_ip="127.0.0.1",
        started_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(hours=12),
        position_ms=0,
    )
