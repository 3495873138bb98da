"""The suite of `KeyVault`. `open_again` opens the same data as another process does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL, Program, database_url, start_python, store_opener

from matinee.drivers.sql import Database
from matinee.kit.ids import AssetId, PlaySessionId
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.api import Label
from matinee.licensing.model import SealedKey
from matinee.licensing.ports import KeyVault, SessionKeys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILM = AssetId("ast_film")
SESSION = PlaySessionId("pls_1")
Open = Callable[[], Awaitable[KeyVault]]


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "licensing")


@pytest.fixture
async def open_again(url: str) -> AsyncIterator[Open]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlKeyVault, url) as opened:
        yield opened


def key(label: Label, name: str = "", asset_id: AssetId = FILM) -> SealedKey:
    key_id = f"{asset_id}{label}{name}".encode().hex()[-32:].rjust(32, "0")
    return SealedKey(asset_id=asset_id, label=label, key_id=key_id, sealed=b"\x00\xff" + name.encode())


async def test_added_keys_are_visible_to_other_processes(open_again: Open) -> None:
    keys = [key("AUDIO"), key("HD"), key("SD")]
    await (await open_again()).add_keys(keys=[keys[2], keys[0], keys[1]])
    vault = await open_again()
    assert await vault.list_keys(asset_id=FILM) == keys
    assert await vault.list_keys(asset_id=AssetId("ast_none")) == []
    assert await vault.filter_known(key_ids=[keys[0].key_id, "f" * 32]) == {keys[0].key_id}
    assert await vault.filter_known(key_ids=[]) == set()


async def test_an_existing_key_stays(open_again: Open) -> None:
    vault = await open_again()
    await vault.add_keys(keys=[key("SD", "first")])
    await (await open_again()).add_keys(keys=[key("SD", "second"), key("HD", "second")])
    await vault.add_keys(keys=[])
    assert await vault.list_keys(asset_id=FILM) == [key("HD", "second"), key("SD", "first")]


async def test_session_keys_include_the_revocation(open_again: Open) -> None:
    vault = await open_again()
    await vault.add_keys(keys=[key("SD"), key("SD", asset_id=AssetId("ast_other"))])
    assert await vault.find_session_keys(asset_id=FILM, session_id=SESSION) == SessionKeys(
        keys=[key("SD")], revoked=False
    )
    await (await open_again()).revoke(session_id=SESSION, expires_at=NOW)
    assert (await vault.find_session_keys(asset_id=FILM, session_id=SESSION)).revoked
    assert not (await vault.find_session_keys(asset_id=FILM, session_id=PlaySessionId("pls_2"))).revoked


async def test_a_revocation_lasts_until_its_latest_expiry(open_again: Open) -> None:
    vault = await open_again()
    for minutes in (5, 9, 1, 9):
        await vault.revoke(session_id=SESSION, expires_at=NOW + timedelta(minutes=minutes))
    assert await vault.delete_revocations(before=NOW + timedelta(minutes=9)) == 0
    assert (await vault.find_session_keys(asset_id=FILM, session_id=SESSION)).revoked
    assert await vault.delete_revocations(before=NOW + timedelta(minutes=10)) == 1


async def test_concurrent_writers_end_with_the_same_keys(open_again: Open) -> None:
    vaults = [await open_again() for _ in range(3)]
    await asyncio.gather(*(vaults[n % 3].add_keys(keys=[key("SD", str(n)), key("HD", str(n))]) for n in range(12)))
    found = [await vault.list_keys(asset_id=FILM) for vault in vaults]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2


async def test_concurrent_processes_end_with_the_same_keys(url: str, open_again: Open) -> None:
    await open_again()
    racers = [start("race", url, str(n)) for n in range(3)]
    answers = [racer.communicate().split() for racer in racers]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 20


async def test_acknowledged_writes_survive_a_killed_process(url: str, open_again: Open) -> None:
    await open_again()
    writer = start("write", url, "k")
    acknowledged = [writer.stdout.readline().strip() for _ in range(25)]
    writer.kill()
    acknowledged += writer.communicate().split("\n")[:-1]
    vault = await open_again()
    for asset in acknowledged:
        assert len(await vault.list_keys(asset_id=AssetId(asset))) == 3
        assert (await vault.find_session_keys(asset_id=FILM, session_id=PlaySessionId(asset))).revoked
    assert len(await vault.list_keys(asset_id=AssetId(f"ast_{len(acknowledged)}"))) in (0, 3)


LABELS = st.sampled_from(["AUDIO", "SD", "HD"])
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["ast_a", "ast_b"]), st.lists(LABELS, max_size=3)),
    st.tuples(st.just("revoke"), st.sampled_from(["pls_a", "pls_b"]), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.none(), st.integers(0, 9)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=15))
async def test_the_vault_agrees_with_a_dict(url: str, steps: list[Any]) -> None:
    keys: dict[tuple[str, str], SealedKey] = {}
    revoked: dict[str, int] = {}
    async with store_opener(SqlKeyVault, url, clear=True) as reopen:
        vault = await reopen()
        for n, (step, name, value) in enumerate(steps):
            if step == "add":
                added = [key(label, str(n), AssetId(name)) for label in value]
                for each in added:
                    keys.setdefault((name, each.label), each)
                await vault.add_keys(keys=added)
            elif step == "revoke":
                revoked[name] = max(value, revoked.get(name, 0))
                await vault.revoke(session_id=PlaySessionId(name), expires_at=NOW + timedelta(seconds=value))
            else:
                expired = [name for name, until in revoked.items() if until < value]
                assert await vault.delete_revocations(before=NOW + timedelta(seconds=value)) == len(expired)
                revoked = {name: until for name, until in revoked.items() if name not in expired}
        again = await reopen()
        for asset in ("ast_a", "ast_b"):
            expected = [keys[each] for each in sorted(keys) if each[0] == asset]
            assert await again.list_keys(asset_id=AssetId(asset)) == expected
        for session in ("pls_a", "pls_b"):
            found = await again.find_session_keys(asset_id=FILM, session_id=PlaySessionId(session))
            assert found.revoked == (session in revoked)


def start(task: str, url: str, name: str) -> Program:
    """Run one of the tasks below in another process."""
    return start_python(__file__, task, url, name)


async def _run(task: str, url: str, name: str) -> None:
    async with Database(url) as database:
        vault = await SqlKeyVault.open(database)
        for n in range(20 if task == "race" else 100_000):
            asset_id = AssetId(f"ast_{n}")
            await vault.add_keys(keys=[key(label, name, asset_id) for label in ("AUDIO", "SD", "HD")])
            if task == "race":
                print((await vault.list_keys(asset_id=asset_id))[0].key_id, flush=True)
            else:
                await vault.revoke(session_id=PlaySessionId(asset_id), expires_at=NOW)
                print(asset_id, flush=True)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
