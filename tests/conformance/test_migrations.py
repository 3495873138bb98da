"""Migrations up and down with data, on every engine, with concurrent processes, and with kills at any point."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, MetaData, String, insert, select, text
from tests.stores import FORKS, SQL, database_url

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


def revision_of(url: str, name: str) -> str:
    return str(call_with_connection(url, lambda store: read_revision(name, store.connection)))


def call_with_connection(url: str, work: Callable[[MigrationConnection], Any], backups: Path | None = None) -> Any:
    def run(store: MigrationConnection) -> Any:
        with store.step(resume=False):
            return work(store)

    return run_on_store(url, run, backups)


def write(url: str, change: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        async with Database(url) as database:
            return await database.write(change)

    return asyncio.run(run())


def read_rows(url: str, name: str) -> dict[str, list[Any]]:
    def read(connection: Any) -> dict[str, list[Any]]:
        return {
            n: sorted(map(tuple, connection.execute(select(t)).all()), key=str)
            for n, t in reflect_tables(connection, name)
        }

    return dict(write(url, read))


def reflect_tables(connection: Any, name: str) -> list[tuple[str, Any]]:
    found = MetaData()
    found.reflect(connection)
    return [(n, t) for n, t in sorted(found.tables.items()) if n.startswith(f"{name}_") and not n.endswith("_version")]


def fill(url: str, name: str) -> None:
    """Insert two rows into every table."""

    def run(connection: Any) -> None:
        for _, table in reflect_tables(connection, name):
            connection.execute(insert(table), [{c.name: make_value(c.type, n) for c in table.columns} for n in (7, 8)])

    write(url, run)


def make_value(kind: Any, n: int) -> Any:
    if isinstance(kind, Boolean):
        return n == 7
    if isinstance(kind, BigInteger | Integer) or kind.python_type is int:
        return n
    if kind.python_type in {float, Decimal}:
        return n + 0.5
    if kind.python_type is date:
        return date(2026, 1, n)
    if isinstance(kind, LargeBinary) or kind.python_type is bytes:
        return b"[]"
    return f"{n}é"[: kind.length] if isinstance(kind, String) else None


@pytest.mark.parametrize(("name", "engine_name"), STORES)
def test_domain_is_upgraded_from_every_revision_and_downgraded_with_its_data(
    name: str, engine_name: str, tmp_path: Path
) -> None:
    scripts = MigrationScripts.load(f"matinee.{name}.adapters:migrations")
    for at, revision in enumerate(scripts.revisions):
        url = database_url(engine_name, tmp_path, name)
        run_on_store(url, partial(upgrade, scripts=MigrationScripts(scripts.paths[: at + 1]), name=name))
        fill(url, name)
        before = read_rows(url, name)
        run_on_store(url, partial(upgrade, scripts=scripts, name=name))
        assert revision_of(url, name) == scripts.newest
        assert {n: len(rows) for n, rows in read_rows(url, name).items() if n in before} == {
            n: len(rows) for n, rows in before.items()
        }
        run_on_store(url, partial(downgrade, scripts=scripts, name=name, to=revision))
        assert (revision_of(url, name), read_rows(url, name)) == (revision, before)
        run_on_store(url, partial(downgrade, scripts=scripts, name=name, to=""))
        assert (revision_of(url, name), read_rows(url, name)) == ("", {})


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
def folder(tmp_path: Path) -> Path:
    versions = tmp_path / "scripts" / "versions"
    versions.mkdir(parents=True)
    for name, body in (("0001_things", FIRST), ("0002_euros", SECOND), ("0003_notes", THIRD)):
        (versions / f"{name}.py").write_text(body)
    return versions.parent


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> str:
    """Return a store at its first revision, with data."""
    url = database_url(request.param, tmp_path, "shop")
    run_on_store(
        url, partial(upgrade, scripts=MigrationScripts(MigrationScripts.load(str(folder)).paths[:1]), name="shop")
    )
    write(url, lambda c: [c.execute(text(f"INSERT INTO shop_thing VALUES ('{n}', {cents})")) for n, cents in OLD])
    return url


def read_things(url: str) -> Any:
    wanted = "SELECT name, cents, euros FROM shop_thing ORDER BY name"
    return write(url, lambda c: [(n, cents, round(e)) for n, cents, e in c.execute(text(wanted))])


def read_notes(url: str) -> Any:
    return write(url, lambda c: [row[0] for row in c.execute(text("SELECT name FROM shop_note"))])


def start_process(direction: str, url: str, folder: Path, point: str) -> ForkServerProcess:
    """Start another process, not as a fork of this one: a lock that one of its threads holds would never be free."""
    other = FORKS.Process(target=migrate, args=(direction, url, folder, point))
    other.start()
    return other


def run_until_killed(url: str, folder: Path, direction: str, point: str) -> None:
    migrating = start_process(direction, url, folder, point)
    migrating.join(60)
    assert migrating.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", UP)
def test_upgrade_resumes_after_a_kill(url: str, folder: Path, point: str) -> None:
    run_until_killed(url, folder, "forward", point)
    run_until_killed(url, folder, "forward", point)
    run_on_store(url, partial(upgrade, scripts=MigrationScripts.load(str(folder)), name="shop"))
    assert revision_of(url, "shop") == "0003"
    assert read_things(url) == [("a", 101, 1), ("b", 251, 2)]
    assert read_notes(url) == ["b"]


@pytest.mark.parametrize("point", DOWN)
def test_downgrade_resumes_after_a_kill(url: str, folder: Path, point: str) -> None:
    scripts = MigrationScripts.load(str(folder))
    run_on_store(url, partial(upgrade, scripts=scripts, name="shop"))
    run_until_killed(url, folder, "back", point)
    run_on_store(url, partial(downgrade, scripts=scripts, name="shop", to="0001"))
    assert revision_of(url, "shop") == "0001"
    assert read_rows(url, "shop") == {"shop_thing": OLD}


@pytest.mark.parametrize("point", ["-2a", "-2b"])
def test_upgrade_succeeds_after_a_killed_downgrade(url: str, folder: Path, point: str) -> None:
    scripts = MigrationScripts.load(str(folder))
    run_on_store(url, partial(upgrade, scripts=scripts, name="shop"))
    run_until_killed(url, folder, "back", point)
    run_on_store(url, partial(upgrade, scripts=scripts, name="shop"))
    assert revision_of(url, "shop") == "0003"
    assert {name for name, *_ in read_things(url)} == {"a", "b"}


async def test_concurrent_processes_migrate_once(url: str, folder: Path) -> None:
    async def migrate_here() -> None:
        async with Database(url) as database:
            await database.migrate(str(folder), "shop")

    others = [start_process("forward", url, folder, "") for _ in range(3)]
    await asyncio.gather(*(migrate_here() for _ in range(3)))
    for other in others:
        await asyncio.to_thread(other.join, 60)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert await asyncio.to_thread(read_things, url) == [("a", 101, 1), ("b", 251, 2)]


async def test_store_of_a_newer_version_is_not_changed(url: str, folder: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(
        run_on_store, url, partial(upgrade, scripts=MigrationScripts.load(str(folder)), name="shop")
    )
    (folder / "versions" / "0003_notes.py").unlink()
    async with Database(url) as database:
        with pytest.raises(SchemaAhead, match=r"at revision 0003.*newest that this Matinee knows is 0002"):
            await database.migrate(str(folder), "shop")
    with pytest.raises(SchemaAhead):
        await asyncio.to_thread(
            run_on_store, url, partial(downgrade, scripts=MigrationScripts.load(str(folder)), name="shop", to="0001")
        )
    assert await asyncio.to_thread(read_notes, url) == ["b"]


async def test_upgrade_makes_a_backup_first(url: str, folder: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    async with Database(url, backups=backups) as database:
        await database.migrate(str(folder), "shop")
    (backup,) = await asyncio.to_thread(lambda: list(tmp_path.rglob("*.at-0001.*")))
    if backup.suffix == ".db":
        with sqlite3.connect(backup) as copy:
            assert copy.execute("SELECT name, cents FROM shop_thing ORDER BY name").fetchall() == OLD
    else:
        dump = await asyncio.to_thread(backup.read_text)
        assert "('a',100),\n('b',250)" in dump
        assert "shop_version" in dump


def test_only_the_newest_backups_are_kept(url: str, tmp_path: Path) -> None:
    for _ in range(BACKUPS + 2):
        backups = tmp_path / "backups"
        run_on_store(url, lambda store: store.back_up("shop", "0001"), backups)
    assert len(list(backups.iterdir())) == BACKUPS


def test_script_that_changes_data_before_the_schema_is_refused(folder: Path, tmp_path: Path) -> None:
    url = database_url("mariadb", tmp_path, "shop")
    (folder / "versions" / "0004_bad.py").write_text(
        "from alembic import op\nrevision, down_revision = '0004', '0003'\n"
        "def upgrade():\n    op.execute(\"INSERT INTO shop_note VALUES ('x', 'y')\")\n    op.drop_table('shop_thing')\n"
    )
    with pytest.raises(ValueError, match="after all its changes of the schema"):
        run_on_store(url, partial(upgrade, scripts=MigrationScripts.load(str(folder)), name="shop"))
    assert revision_of(url, "shop") == "0003…"
    assert read_notes(url) == []


def migrate(direction: str, url: str, folder: Path, point: str) -> None:
    """Migrate, in another process."""
    os.environ["DIE_AT"] = point
    scripts = MigrationScripts.load(str(folder))
    if direction == "forward":
        run_on_store(url, partial(upgrade, scripts=scripts, name="shop", backup=False))
    else:
        run_on_store(url, partial(downgrade, scripts=scripts, name="shop", to="0001", backup=False))
