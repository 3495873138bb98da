"""The suite of `RuleStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.stores import SQL, database_url, store_opener

from matinee.kit import ids
from matinee.kit.ids import TitleId
from matinee.search.adapters.sql_rules import SqlRuleStore
from matinee.search.api import Pin, Synonym
from matinee.search.ports import RuleStore

Opener = Callable[[], Awaitable[RuleStore]]
A, B = (ids.derive(TitleId, name) for name in "ab")


@pytest.fixture(params=SQL)
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same data again, as another process does."""
    async with store_opener(SqlRuleStore, database_url(request.param, tmp_path, "search")) as opened:
        yield opened


async def test_rules_are_stored_replaced_and_removed(reopen: Opener) -> None:
    store = await reopen()
    synonym = Synonym(query="LOTR", meanings=["lord of the rings", "指輪物語"])
    pin = Pin(query="lotr", title_ids=[B, A])
    assert await store.put("lotr", synonym, limit=9)
    assert await store.put("lotr", pin, limit=9)
    assert await (await reopen()).load() == [pin, synonym]
    newer = Synonym(query="Lotr", meanings=["rings"])
    assert await store.put("lotr", newer, limit=9)
    assert await store.put("lotr", newer, limit=9)
    assert await store.load() == [pin, newer]
    assert await store.remove("lotr", "synonym")
    assert not await store.remove("lotr", "synonym")
    assert await store.load() == [pin]


async def test_queries_differ_by_every_letter(reopen: Opener) -> None:
    store = await reopen()
    for folded in ("cafe", "café", "cafe "):
        assert await store.put(folded, Pin(query=folded, title_ids=[A]), limit=9)
    assert len(await store.load()) == 3


async def test_rules_are_bounded(reopen: Opener) -> None:
    store = await reopen()
    for folded in "abc":
        assert await store.put(folded, Pin(query=folded, title_ids=[A]), limit=3)
    assert not await store.put("d", Pin(query="d", title_ids=[A]), limit=3)
    assert await store.put("c", Pin(query="c", title_ids=[B]), limit=3)
    assert [rule.query for rule in await store.load()] == ["a", "b", "c"]


async def test_concurrent_writers_of_one_rule_leave_one(reopen: Opener) -> None:
    stores = [await reopen() for _ in range(3)]
    rule = Pin(query="a", title_ids=[A])
    assert all(await asyncio.gather(*(store.put("a", rule, limit=3) for store in stores for _ in range(3))))
    assert await stores[0].load() == [rule]
