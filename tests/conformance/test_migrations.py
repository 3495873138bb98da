"""Schemas move forward and back with their data, on every engine, by any number of processes, killed at any point."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, MetaData, String, insert, select, text
from tests.stores import SQL, database_url

from matinee.drivers.backups import BACKUPS
from matinee.drivers.engine import SchemaAhead
from matinee.drivers.migrations import (
    MigrationConnection,
    MigrationScripts,
    downgrade,
    read_revision,
    run_on_store,
    upgrade,
)
from matinee.drivers.sql import Database

DOMAINS = sorted(path.parents[1].name for path in Path("src/matinee").glob("*/adapters/migrations"))
# The log of facts is on SQLite or Kafka, never on MariaDB.
STORES = [(name, engine) for name in DOMAINS for engine in SQL if (name, engine) != ("events", "mariadb")]


def standing(url: str, name: str) -> str:
    return str(asked(url, lambda ground: read_revision(name, ground.connection)))


def asked(url: str, work: Callable[[MigrationConnection], Any], backups: Path | None = None) -> Any:
    def run(ground: MigrationConnection) -> Any:
        with ground.step(resume=False):
            return work(ground)

    return run_on_store(url, run, backups)


def changed(url: str, change: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        async with Database(url) as database:
            return await database.write(change)

    return asyncio.run(run())


def rows_of(url: str, name: str) -> dict[str, list[Any]]:
    def read(connection: Any) -> dict[str, list[Any]]:
        return {
            n: sorted(map(tuple, connection.execute(select(t)).all()), key=str) for n, t in tables(connection, name)
        }

    return dict(changed(url, read))


def tables(connection: Any, name: str) -> list[tuple[str, Any]]:
    found = MetaData()
    found.reflect(connection)
    return [(n, t) for n, t in sorted(found.tables.items()) if n.startswith(f"{name}_") and not n.endswith("_version")]


def fill(url: str, name: str) -> None:
    """Two rows in every table."""

    def run(connection: Any) -> None:
        for _, table in tables(connection, name):
            connection.execute(insert(table), [{c.name: value(c.type, n) for c in table.columns} for n in (7, 8)])

    changed(url, run)


def value(kind: Any, n: int) -> Any:
    if isinstance(kind, Boolean):
        return n == 7
    if isinstance(kind, BigInteger | Integer) or kind.python_type is int:
        return n
    if isinstance(kind, LargeBinary) or kind.python_type is bytes:
        return b"[]"
    return f"{n}é"[: kind.length] if isinstance(kind, String) else None


@pytest.mark.parametrize(("name", "engine_name"), STORES)
def test_a_domain_moves_from_every_version_with_data_and_back(name: str, engine_name: str, tmp_path: Path) -> None:
    chain = MigrationScripts.load(f"matinee.{name}.adapters:migrations")
    for at, revision in enumerate(chain.revisions):
        url = database_url(engine_name, tmp_path, name)
        run_on_store(url, partial(upgrade, scripts=MigrationScripts(chain.paths[: at + 1]), name=name))
        fill(url, name)
        before = rows_of(url, name)
        run_on_store(url, partial(upgrade, scripts=chain, name=name))
        assert standing(url, name) == chain.newest
        assert {n: len(rows) for n, rows in rows_of(url, name).items() if n in before} == {
            n: len(rows) for n, rows in before.items()
        }
        run_on_store(url, partial(downgrade, scripts=chain, name=name, to=revision))
        assert (standing(url, name), rows_of(url, name)) == (revision, before)
        run_on_store(url, partial(downgrade, scripts=chain, name=name, to=""))
        assert (standing(url, name), rows_of(url, name)) == ("", {})


FIRST = """
import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

def upgrade():
    op.create_table("shop_thing", sa.Column("name", sa.String(40), primary_key=True), sa.Column("cents", sa.Integer))

def downgrade():
    op.drop_table("shop_thing")
"""
SECOND = """
import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

def here(point):
    if os.environ.get("DIE_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)

def upgrade():
    here("2a")
    op.add_column("shop_thing", sa.Column("euros", sa.Integer))
    here("2b")
    op.create_index("shop_thing_euros", "shop_thing", ["euros"])
    here("2c")
    op.execute("UPDATE shop_thing SET euros = coalesce(euros, 0) + (cents - cents % 100) / 100, cents = cents + 1")
    here("2d")

def downgrade():
    here("-2a")
    op.drop_index("shop_thing_euros", "shop_thing")
    here("-2b")
    op.drop_column("shop_thing", "euros")
    here("-2c")
    op.execute("UPDATE shop_thing SET cents = cents - 1")
    here("-2d")
"""
THIRD = """
import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"

def here(point):
    if os.environ.get("DIE_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)

def upgrade():
    op.create_table("shop_note", sa.Column("name", sa.String(40), primary_key=True), sa.Column("note", sa.String(40)))
    here("3a")
    op.execute("INSERT INTO shop_note SELECT name, 'dear' FROM shop_thing WHERE euros > 1")
    here("3b")

def downgrade():
    op.drop_table("shop_note")
    here("-3a")
"""
OLD = [("a", 100), ("b", 250)]
UP, DOWN = ["2a", "2b", "2c", "2d", "3a", "3b"], ["-3a", "-2a", "-2b", "-2c", "-2d"]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts" / "versions"
    folder.mkdir(parents=True)
    for name, body in (("0001_things", FIRST), ("0002_euros", SECOND), ("0003_notes", THIRD)):
        (folder / f"{name}.py").write_text(body)
    return folder.parent


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path, scripts: Path) -> str:
    """A store at its first version, with data."""
    made = database_url(request.param, tmp_path, "shop")
    run_on_store(
        made, partial(upgrade, scripts=MigrationScripts(MigrationScripts.load(str(scripts)).paths[:1]), name="shop")
    )
    changed(made, lambda c: [c.execute(text(f"INSERT INTO shop_thing VALUES ('{n}', {cents})")) for n, cents in OLD])
    return made


def things(url: str) -> Any:
    wanted = "SELECT name, cents, euros FROM shop_thing ORDER BY name"
    return changed(url, lambda c: [(n, cents, round(e)) for n, cents, e in c.execute(text(wanted))])


def notes(url: str) -> Any:
    return changed(url, lambda c: [row[0] for row in c.execute(text("SELECT name FROM shop_note"))])


def started(way: str, url: str, scripts: Path, point: str) -> ForkProcess:
    """Another process, which has all imports already."""
    other = get_context("fork").Process(target=migrate, args=(way, url, scripts, point))
    other.start()
    return other


def killed(url: str, scripts: Path, way: str, point: str) -> None:
    migrating = started(way, url, scripts, point)
    migrating.join(60)
    assert migrating.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", UP)
def test_what_was_killed_on_its_way_forward_is_carried_on(url: str, scripts: Path, point: str) -> None:
    killed(url, scripts, "forward", point)
    killed(url, scripts, "forward", point)
    run_on_store(url, partial(upgrade, scripts=MigrationScripts.load(str(scripts)), name="shop"))
    assert standing(url, "shop") == "0003"
    assert things(url) == [("a", 101, 1), ("b", 251, 2)]
    assert notes(url) == ["b"]


@pytest.mark.parametrize("point", DOWN)
def test_what_was_killed_on_its_way_back_is_carried_on(url: str, scripts: Path, point: str) -> None:
    chain = MigrationScripts.load(str(scripts))
    run_on_store(url, partial(upgrade, scripts=chain, name="shop"))
    killed(url, scripts, "back", point)
    run_on_store(url, partial(downgrade, scripts=chain, name="shop", to="0001"))
    assert standing(url, "shop") == "0001"
    assert rows_of(url, "shop") == {"shop_thing": OLD}


@pytest.mark.parametrize("point", ["-2a", "-2b"])
def test_who_was_killed_on_the_way_back_can_go_forward(url: str, scripts: Path, point: str) -> None:
    chain = MigrationScripts.load(str(scripts))
    run_on_store(url, partial(upgrade, scripts=chain, name="shop"))
    killed(url, scripts, "back", point)
    run_on_store(url, partial(upgrade, scripts=chain, name="shop"))
    assert standing(url, "shop") == "0003"
    assert {name for name, *_ in things(url)} == {"a", "b"}


async def test_many_who_start_at_once_migrate_once(url: str, scripts: Path) -> None:
    async def start() -> None:
        async with Database(url) as database:
            await database.migrate(str(scripts), "shop")

    others = [started("forward", url, scripts, "") for _ in range(3)]
    await asyncio.gather(*(start() for _ in range(3)))
    for other in others:
        await asyncio.to_thread(other.join, 60)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert await asyncio.to_thread(things, url) == [("a", 101, 1), ("b", 251, 2)]


async def test_a_store_that_a_newer_one_wrote_is_left_alone(url: str, scripts: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(
        run_on_store, url, partial(upgrade, scripts=MigrationScripts.load(str(scripts)), name="shop")
    )
    (scripts / "versions" / "0003_notes.py").unlink()
    async with Database(url) as database:
        with pytest.raises(SchemaAhead, match=r"at revision 0003.*newest that this Matinee knows is 0002"):
            await database.migrate(str(scripts), "shop")
    with pytest.raises(SchemaAhead):
        await asyncio.to_thread(
            run_on_store, url, partial(downgrade, scripts=MigrationScripts.load(str(scripts)), name="shop", to="0001")
        )
    assert await asyncio.to_thread(notes, url) == ["b"]


async def test_what_was_there_before_is_kept(url: str, scripts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    async with Database(url, backups=folder) as database:
        await database.migrate(str(scripts), "shop")
    (kept,) = await asyncio.to_thread(lambda: list(tmp_path.rglob("*.at-0001.*")))
    if kept.suffix == ".db":
        with sqlite3.connect(kept) as copy:
            assert copy.execute("SELECT name, cents FROM shop_thing ORDER BY name").fetchall() == OLD
    else:
        dump = await asyncio.to_thread(kept.read_text)
        assert "('a',100),\n('b',250)" in dump
        assert "shop_version" in dump


def test_only_the_newest_copies_are_kept(url: str, tmp_path: Path) -> None:
    for _ in range(BACKUPS + 2):
        asked_of = tmp_path / "copies"
        run_on_store(url, lambda ground: ground.back_up("shop", "0001"), asked_of)
    assert len(list(asked_of.iterdir())) == BACKUPS


def test_a_script_that_changes_data_too_early_is_refused(scripts: Path, tmp_path: Path) -> None:
    url = database_url("mariadb", tmp_path, "shop")
    (scripts / "versions" / "0004_bad.py").write_text(
        "from alembic import op\nrevision, down_revision = '0004', '0003'\n"
        "def upgrade():\n    op.execute(\"INSERT INTO shop_note VALUES ('x', 'y')\")\n    op.drop_table('shop_thing')\n"
    )
    with pytest.raises(ValueError, match="after all its changes of the schema"):
        run_on_store(url, partial(upgrade, scripts=MigrationScripts.load(str(scripts)), name="shop"))
    assert standing(url, "shop") == "0003…"
    assert notes(url) == []


def migrate(way: str, url: str, scripts: Path, point: str) -> None:
    """What another process does."""
    os.environ["DIE_AT"] = point
    chain = MigrationScripts.load(str(scripts))
    if way == "forward":
        run_on_store(url, partial(upgrade, scripts=chain, name="shop", backup=False))
    else:
        run_on_store(url, partial(downgrade, scripts=chain, name="shop", to="0001", backup=False))
