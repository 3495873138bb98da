"""Engine health, with real engines that are killed, hang, lose their data, or have another schema."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.deployment import eventually
from tests.engines import private_engine, slow_proxy

from matinee.drivers.engine import EngineState, SchemaAhead
from matinee.drivers.etcd import Etcd
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.hosting.engines import LIMIT_S, SLOW_S, EngineWatch

MIGRATIONS = ("matinee.mesh.adapters:migrations", "mesh")


async def states(watch: EngineWatch) -> list[str]:
    await watch.check()
    return [state.state for state in watch.states]


async def test_engine_that_is_killed_hangs_or_is_slow_recovers(tmp_path: Path) -> None:
    with private_engine("etcd", tmp_path) as own:
        async with slow_proxy(own.url("health")) as proxy, Etcd(proxy.url) as etcd:
            watch = EngineWatch(SystemClock())
            watch.add(etcd, used_for="mesh.registry", needed=False)
            assert await states(watch) == ["ok"]
            own.kill()
            assert await states(watch) == ["unavailable"]
            (state,) = watch.states
            assert etcd.engine in state.detail
            assert (state.used_for, state.needed) == (("mesh.registry",), False)
            assert await states(watch) == ["unavailable"]
            assert watch.states[0].since == state.since
            own.start()
            await eventually(lambda: is_ok(watch))
            proxy.delay_s = SLOW_S
            assert await states(watch) == ["slow"]
            proxy.delay_s = 0
            own.pause()
            assert await states(watch) == ["unavailable"]
            own.resume()
            await eventually(lambda: is_ok(watch))


async def is_ok(watch: EngineWatch) -> bool:
    return await states(watch) == ["ok"]


async def test_uses_of_one_engine_are_merged_while_their_states_are_equal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    watch = EngineWatch(SystemClock())
    async with Database(url) as one, Database(url) as other:
        watch.add(one, used_for="viewing.store")
        watch.add(other, used_for="mesh.registry", needed=False)
        assert await states(watch) == ["ok"]
        assert (watch.states[0].used_for, watch.states[0].needed) == (("mesh.registry", "viewing.store"), True)
        await other.migrate(*MIGRATIONS)
        await one.write(lambda c: c.execute(text("DROP TABLE mesh_version")))
        assert sorted(await states(watch)) == ["empty", "ok"]


@pytest.fixture(params=["sqlite", "mariadb"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    if request.param == "sqlite":
        async with Database(f"sqlite:///{tmp_path}/store.db") as opened:
            yield opened
        return
    with private_engine("mariadb", tmp_path) as own:
        async with Database(own.url("store")) as opened:
            yield opened


async def test_store_of_a_newer_version_is_schema_ahead(database: Database) -> None:
    watch = EngineWatch(SystemClock())
    watch.add(database, used_for="mesh.registry")
    await SqlRegistry.open(database)
    assert await states(watch) == ["ok"]
    await database.write(lambda c: c.execute(text("UPDATE mesh_version SET version_num = '9999'")))
    assert await states(watch) == ["schema-ahead"]
    assert "newer" in watch.states[0].detail
    with pytest.raises(SchemaAhead):
        await SqlRegistry.open(database)
    await database.write(lambda c: c.execute(text("UPDATE mesh_version SET version_num = '0001'")))
    assert await states(watch) == ["ok"]


async def test_mariadb_that_lost_its_data_is_empty_until_it_is_migrated(tmp_path: Path) -> None:
    with private_engine("mariadb", tmp_path) as own:
        async with Database(own.url("store")) as database:
            watch = EngineWatch(SystemClock())
            watch.add(database, used_for="mesh.registry")
            await SqlRegistry.open(database)
            assert await states(watch) == ["ok"]
            own.kill()
            assert await states(watch) == ["unavailable"]
            shutil.rmtree(own.location.data)
            (own.location.folder / "installed").unlink()
            own.start()
            own.url("store")
            assert await states(watch) == ["empty"]
            await SqlRegistry.open(database)
            assert await states(watch) == ["ok"]


async def test_each_change_is_reported_once_and_exported_as_a_metric(tmp_path: Path) -> None:
    reported: list[tuple[EngineState, ...]] = []
    metrics = Metrics()
    watch = EngineWatch(SystemClock())
    with private_engine("etcd", tmp_path) as own:
        async with Etcd(own.url("health")) as etcd:
            watch.add(etcd, used_for="mesh.registry")
            watch.export(metrics)
            running = asyncio.create_task(watch.run(lambda: reported.append(watch.states)))
            await eventually(lambda: len(reported) == 1)
            assert b'used_for="mesh.registry"} 1.0' in metrics.render()
            own.pause()
            await eventually(lambda: len(reported) == 2, 3 * LIMIT_S)
            assert b'used_for="mesh.registry"} 0.0' in metrics.render()
            own.resume()
            await eventually(lambda: len(reported) == 3)
            running.cancel()
    assert [states[0].state for states in reported] == ["ok", "unavailable", "ok"]
