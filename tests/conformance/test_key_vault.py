"""One suite for every key vault. `open_again` hands out the same data as another process would see it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL, database_url, start_python, store_opener

from matinee.drivers.sql import Database
from matinee.kit.ids import AssetId, PlaySessionId
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.api import Label
from matinee.licensing.model import SealedKey
from matinee.licensing.ports import Holding, KeyVault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILM = AssetId("ast_film")
SESSION = PlaySessionId("pls_1")
Open = Callable[[], Awaitable[KeyVault]]


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "licensing")


@pytest.fixture
async def open_again(url: str) -> AsyncIterator[Open]:
    """Opens the same data again: a second opener is a second process's view of it."""
    async with store_opener(SqlKeyVault, url) as opened:
        yield opened


def key(label: Label, name: str = "", asset_id: AssetId = FILM) -> SealedKey:
    key_id = f"{asset_id}{label}{name}".encode().hex()[-32:].rjust(32, "0")
    return SealedKey(asset_id=asset_id, label=label, key_id=key_id, sealed=b"\x00\xff" + name.encode())


async def test_keys_are_there_for_everybody(open_again: Open) -> None:
    keys = [key("AUDIO"), key("HD"), key("SD")]
    await (await open_again()).keep(keys=[keys[2], keys[0], keys[1]])
    vault = await open_again()
    assert await vault.keys(asset_id=FILM) == keys
    assert await vault.keys(asset_id=AssetId("ast_none")) == []
    assert await vault.known(key_ids=[keys[0].key_id, "f" * 32]) == {keys[0].key_id}
    assert await vault.known(key_ids=[]) == set()


async def test_the_first_key_stays(open_again: Open) -> None:
    vault = await open_again()
    await vault.keep(keys=[key("SD", "first")])
    await (await open_again()).keep(keys=[key("SD", "second"), key("HD", "second")])
    await vault.keep(keys=[])
    assert await vault.keys(asset_id=FILM) == [key("HD", "second"), key("SD", "first")]


async def test_a_licence_takes_one_look(open_again: Open) -> None:
    vault = await open_again()
    await vault.keep(keys=[key("SD"), key("SD", asset_id=AssetId("ast_other"))])
    assert await vault.holding(asset_id=FILM, session_id=SESSION) == Holding(keys=[key("SD")], revoked=False)
    await (await open_again()).revoke(session_id=SESSION, expires_at=NOW)
    assert (await vault.holding(asset_id=FILM, session_id=SESSION)).revoked
    assert not (await vault.holding(asset_id=FILM, session_id=PlaySessionId("pls_2"))).revoked


async def test_a_revocation_lasts_as_long_as_the_longest_asked(open_again: Open) -> None:
    vault = await open_again()
    for minutes in (5, 9, 1, 9):
        await vault.revoke(session_id=SESSION, expires_at=NOW + timedelta(minutes=minutes))
    assert await vault.forget(before=NOW + timedelta(minutes=9)) == 0
    assert (await vault.holding(asset_id=FILM, session_id=SESSION)).revoked
    assert await vault.forget(before=NOW + timedelta(minutes=10)) == 1


async def test_makers_at_the_same_time_end_with_the_same_keys(open_again: Open) -> None:
    vaults = [await open_again() for _ in range(3)]
    await asyncio.gather(*(vaults[n % 3].keep(keys=[key("SD", str(n)), key("HD", str(n))]) for n in range(12)))
    seen = [await vault.keys(asset_id=FILM) for vault in vaults]
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 2


async def test_processes_that_race_end_with_the_same_keys(url: str, open_again: Open) -> None:
    await open_again()
    racers = [start("race", url, str(n)) for n in range(3)]
    answers = [racer.communicate()[0].split() for racer in racers]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 20


async def test_what_was_answered_outlives_a_kill(url: str, open_again: Open) -> None:
    await open_again()
    writer = start("write", url, "k")
    assert writer.stdout
    answered = [writer.stdout.readline().strip() for _ in range(25)]
    writer.kill()
    answered += writer.communicate()[0].split("\n")[:-1]
    vault = await open_again()
    for asset in answered:
        assert len(await vault.keys(asset_id=AssetId(asset))) == 3
        assert (await vault.holding(asset_id=FILM, session_id=PlaySessionId(asset))).revoked
    assert len(await vault.keys(asset_id=AssetId(f"ast_{len(answered)}"))) in (0, 3)


LABELS = st.sampled_from(["AUDIO", "SD", "HD"])
STEPS = st.one_of(
    st.tuples(st.just("keep"), st.sampled_from(["ast_a", "ast_b"]), st.lists(LABELS, max_size=3)),
    st.tuples(st.just("revoke"), st.sampled_from(["pls_a", "pls_b"]), st.integers(0, 9)),
    st.tuples(st.just("forget"), st.none(), st.integers(0, 9)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=15))
async def test_it_does_what_a_dict_does(url: str, steps: list[Any]) -> None:
    keys: dict[tuple[str, str], SealedKey] = {}
    revoked: dict[str, int] = {}
    async with store_opener(SqlKeyVault, url, clear=True) as reopen:
        vault = await reopen()
        for n, (what, name, value) in enumerate(steps):
            if what == "keep":
                made = [key(label, str(n), AssetId(name)) for label in value]
                for one in made:
                    keys.setdefault((name, one.label), one)
                await vault.keep(keys=made)
            elif what == "revoke":
                revoked[name] = max(value, revoked.get(name, 0))
                await vault.revoke(session_id=PlaySessionId(name), expires_at=NOW + timedelta(seconds=value))
            else:
                gone = [one for one, until in revoked.items() if until < value]
                assert await vault.forget(before=NOW + timedelta(seconds=value)) == len(gone)
                revoked = {one: until for one, until in revoked.items() if one not in gone}
        again = await reopen()
        for asset in ("ast_a", "ast_b"):
            wanted = [keys[place] for place in sorted(keys) if place[0] == asset]
            assert await again.keys(asset_id=AssetId(asset)) == wanted
        for session in ("pls_a", "pls_b"):
            holding = await again.holding(asset_id=FILM, session_id=PlaySessionId(session))
            assert holding.revoked == (session in revoked)


def start(task: str, url: str, name: str) -> subprocess.Popen[str]:
    """Run one of the tasks below in a process of its own."""
    return start_python(__file__, task, url, name)


async def _run(task: str, url: str, name: str) -> None:
    async with Database(url) as database:
        vault = await SqlKeyVault.open(database)
        for n in range(20 if task == "race" else 100_000):
            asset_id = AssetId(f"ast_{n}")
            await vault.keep(keys=[key(label, name, asset_id) for label in ("AUDIO", "SD", "HD")])
            if task == "race":
                print((await vault.keys(asset_id=asset_id))[0].key_id, flush=True)
            else:
                await vault.revoke(session_id=PlaySessionId(asset_id), expires_at=NOW)
                print(asset_id, flush=True)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
