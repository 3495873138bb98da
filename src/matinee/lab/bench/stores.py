"""The same stores on SQLite and on MariaDB: the time of one read and one change."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import uvloop

from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, AssetId, DeviceId, InstanceId, PlaySessionId, ProfileId, TitleId, derive
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.positions import make_position, make_record
from matinee.lab.bench.timing import Bench, Operation, time_in_turns
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.api import Instance
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.api import Capabilities
from matinee.playback.model.sessions import StoredSession
from matinee.viewing.adapters.sql import SqlViewingStore

AREA = "stores"
IN_FLIGHT = 16
Operations: TypeAlias = Mapping[str, Operation]
CLOCK = SystemClock()


def measure(bench: Bench) -> list[Figure]:
    """Measure; takes about half a minute."""
    with bench.open_engines("mariadb") as urls, tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        sqlite = f"sqlite:///{Path(folder)}/bench.db"
        return uvloop.run(_measure([sqlite, urls["mariadb"]], bench.size(300, 8), bench.size(5, 1)))


async def _measure(urls: list[str], count: int, rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    async with contextlib.AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(Database(url)) for url in urls]
        for store in (_sessions, _positions, _leases):
            sqlite, mariadb = [await store(database) for database in databases]
            for name, operation in sqlite.items():
                us = await time_in_turns(operation, mariadb[name], count=count, in_flight=IN_FLIGHT, rounds=rounds)
                figures.append(
                    make_figure(AREA, f"{name}: MariaDB", us[1], "µs", baseline=us[0], baseline_name="SQLite")
                )
    return figures


async def _sessions(database: Database) -> Operations:
    store = await SqlSessionStore.open(database)

    async def begin(number: int) -> None:
        await store.create(session=_session(number), records=[b"{}"])

    async def find(number: int) -> None:
        assert await store.find(session_id=_session(number).session_id)

    return {"begin a play session": begin, "find a play session": find}


async def _positions(database: Database) -> Operations:
    store = await SqlViewingStore.open(database)

    async def save(number: int) -> None:
        await store.save(make_position(number, CLOCK), record=make_record(make_position(number, CLOCK), CLOCK))

    async def read(number: int) -> None:
        key = make_position(number, CLOCK)
        await store.list_by_titles(key.account_id, key.profile_id, [key.title_id])

    return {"save a position": save, "read a position": read}


async def _leases(database: Database) -> Operations:
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
