"""How engines are, as processes see it: real ones that are killed, hang, lose their data, are of another time."""

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


async def test_an_engine_that_is_killed_hangs_is_slow_and_comes_back(tmp_path: Path) -> None:
    with private_engine("etcd", tmp_path) as own:
        async with slow_proxy(own.url("health")) as road, Etcd(road.url) as etcd:
            watch = EngineWatch(SystemClock())
            watch.add(etcd, used_for="mesh.registry", needed=False)
            assert await states(watch) == ["ok"]
            own.kill()
            assert await states(watch) == ["unavailable"]
            (state,) = watch.states
            assert etcd.engine in state.detail
            assert (state.used_for, state.needed) == (("mesh.registry",), False)
            assert await states(watch) == ["unavailable"]
            assert watch.states[0].since == state.since, "it has been away since it went"
            own.start()
            await eventually(lambda: well_again(watch))
            road.delay_s = SLOW_S
            assert await states(watch) == ["slow"]
            road.delay_s = 0
            own.pause()
            assert await states(watch) == ["unavailable"]
            own.resume()
            await eventually(lambda: well_again(watch))


async def well_again(watch: EngineWatch) -> bool:
    return await states(watch) == ["ok"]


async def test_two_stores_on_one_engine_are_one_line_while_they_fare_alike(tmp_path: Path) -> None:
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


async def test_a_store_that_a_newer_matinee_wrote(database: Database) -> None:
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


async def test_a_mariadb_that_comes_back_without_its_data(tmp_path: Path) -> None:
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


async def test_changes_are_told_once_and_figures_follow(tmp_path: Path) -> None:
    told: list[tuple[EngineState, ...]] = []
    metrics = Metrics()
    watch = EngineWatch(SystemClock())
    with private_engine("etcd", tmp_path) as own:
        async with Etcd(own.url("health")) as etcd:
            watch.add(etcd, used_for="mesh.registry")
            watch.export(metrics)
            running = asyncio.create_task(watch.run(lambda: told.append(watch.states)))
            await eventually(lambda: len(told) == 1)
            assert b'used_for="mesh.registry"} 1.0' in metrics.render()
            own.pause()
            await eventually(lambda: len(told) == 2, 3 * LIMIT_S)
            assert b'used_for="mesh.registry"} 0.0' in metrics.render()
            own.resume()
            await eventually(lambda: len(told) == 3)
            running.cancel()
    assert [states[0].state for states in told] == ["ok", "unavailable", "ok"]
