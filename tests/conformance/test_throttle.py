"""One suite for every throttle. `open_again` hands out the counts as another process would see them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL_OR_REDIS, database_url, sql_or_redis_opener, start_python

from matinee.identity import model
from matinee.identity.adapters.redis import RedisThrottle
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.model import Attempts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NewPlace = Callable[[], str]
Counts = SqlIdentityStore | RedisThrottle
Open = Callable[[], Awaitable[Counts]]
reopening = partial(sql_or_redis_opener, SqlIdentityStore, RedisThrottle)


@pytest.fixture(params=SQL_OR_REDIS)
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> NewPlace:
    """Tells a new URL, at which nothing is kept yet, at each call."""
    return partial(database_url, request.param, tmp_path, "identity")


@pytest.fixture
def url(new_place: NewPlace) -> str:
    return new_place()


@pytest.fixture
async def open_again(url: str) -> AsyncIterator[Open]:
    async with reopening(url) as opened:
        yield opened


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_attempts_are_counted_across_instances(open_again: Open) -> None:
    one, two = await open_again(), await open_again()
    for n in range(5):
        assert await (one, two)[n % 2].attempt(subjects=("pin:a", f"device:{n}"), now=NOW) == 0
    assert await (await open_again()).attempt(subjects=("device:x", "pin:a"), now=NOW) == 1000
    assert await one.attempt(subjects=("device:x",), now=NOW) == 0  # a refused try counted for nothing
    await two.reset(subjects=("pin:a", "email:none"))
    assert await one.attempt(subjects=("pin:a",), now=NOW) == 0


async def test_old_attempts_are_deleted(open_again: Open) -> None:
    store = await open_again()
    await store.attempt(subjects=("a",), now=NOW)
    await store.attempt(subjects=("b",), now=later(10))
    assert await store.expire_attempts(before=later(10)) == 1
    assert await store.expire_attempts(before=later(11)) == 1
    assert await store.expire_attempts(before=later(11)) == 0


async def test_concurrent_first_attempts_are_all_counted(open_again: Open) -> None:
    stores = [await open_again() for _ in range(3)]
    attempts = [stores[n % 3].attempt(subjects=("pin:a", f"device:{n}"), now=NOW) for n in range(9)]
    assert sorted(await asyncio.gather(*attempts)) == [0] * model.FREE_ATTEMPTS + [1000] * 4


async def test_concurrent_counts_of_the_same_subjects_do_not_deadlock(open_again: Open) -> None:
    stores = [await open_again() for _ in range(2)]
    orders = [("a", "b"), ("b", "a")]
    attempts = [stores[n % 2].attempt(subjects=orders[n % 2], now=NOW) for n in range(8)]
    assert sorted(await asyncio.gather(*attempts)) == [0] * model.FREE_ATTEMPTS + [1000] * 3


async def test_attempts_of_concurrent_processes_are_all_counted(url: str, open_again: Open) -> None:
    await open_again()
    racers = [start_python(__file__, url, str(n)) for n in range(3)]
    relayed = [line for racer in racers for line in racer.communicate().splitlines()]
    answers = [int(line) for line in relayed if line.isdigit()]  # the others are of the log
    assert len(answers) == 30
    assert answers.count(0) == model.FREE_ATTEMPTS


steps = st.lists(
    st.one_of(
        st.tuples(st.just("try"), st.sets(st.sampled_from("abc"), min_size=1), st.integers(0, 4000)),
        st.tuples(st.just("forgive"), st.sets(st.sampled_from("abc"), min_size=1), st.just(0)),
        st.tuples(st.just("forget"), st.just(set[str]()), st.integers(0, 4000)),
    ),
    max_size=20,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_store_behaves_like_a_dict(new_place: NewPlace, steps: list[tuple[str, set[str], int]]) -> None:
    plain: dict[str, Attempts] = {}
    now = NOW
    async with reopening(new_place()) as reopen:
        for what, names, figure in steps:
            store, subjects = await reopen(), tuple(names)
            if what == "try":
                now += timedelta(seconds=figure)
                wait_ms = max(model.get_wait_ms(name, plain.get(name), now) for name in names)
                assert await store.attempt(subjects=subjects, now=now) == wait_ms
                plain |= {} if wait_ms else {name: model.add_attempt(plain.get(name), now) for name in names}
            elif what == "forgive":
                await store.reset(subjects=subjects)
                plain = {name: attempts for name, attempts in plain.items() if name not in names}
            else:
                before = now - timedelta(seconds=figure)
                old = [name for name, attempts in plain.items() if attempts.last_at < before]
                assert await store.expire_attempts(before=before) == len(old)
                plain = {name: attempts for name, attempts in plain.items() if name not in old}


async def _run(url: str, name: str) -> None:
    """Try ten times, in a process of its own."""
    async with reopening(url) as reopen:
        store = await reopen()
        for _ in range(10):
            print(await store.attempt(subjects=("pin:a", f"device:{name}"), now=NOW), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
