"""Sessions, sign-ins and throttles on a Redis that is killed, unresponsive, slow, read-only, full or emptied."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conformance import test_play_session_store as play
from tests.conformance import test_sign_in_store as signs
from tests.engines import private_engine, slow_proxy

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull
from matinee.drivers.redis import Redis
from matinee.identity.adapters.redis import RedisSignInStore, RedisThrottle
from matinee.identity.ports import SignInChange
from matinee.kit import context
from matinee.lab.engines import EngineProcess
from matinee.playback.adapters.redis import RedisSessionStore

NOW = play.NOW


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with private_engine("redis", tmp_path) as running:
        yield running


class Stores:
    """The three stores on one Redis, and a connection of the test's own (`admin`)."""

    def __init__(self, redis: Redis, admin: Redis) -> None:
        self.sessions = RedisSessionStore(redis)
        self.sign_ins = RedisSignInStore(redis)
        self.throttle = RedisThrottle(redis)
        self.redis = redis
        self.admin = admin.client

    async def fill(self) -> None:
        """Store a session, a sign-in and an attempt."""
        await self.sessions.create(session=play.session("a"), records=[b"started"])
        await self.sign_ins.begin(sign_in=signs.sign_in(), device=signs.device())
        assert await self.throttle.attempt(subjects=("pin:a",), now=NOW) == 0

    async def check_content(self) -> None:
        """Check that the stores contain what `fill` stored, and nothing else."""
        assert await self.sessions.find(session_id=play.session("a").session_id) == play.session("a")
        assert await signs.look(self.sign_ins) == signs.sign_in()
        assert await self.sign_ins.devices(account_id=signs.ADA, now=signs.NOW) == [signs.device()]
        assert await play.relay_records(self.sessions) == [b"started"]
        assert await play.relay_records(self.sign_ins) == []

    async def check_works(self) -> None:
        """Check that changes succeed."""
        await self.redis.check()
        assert await self.sessions.move(
            session_id=play.session("a").session_id, position_ms=1000, now=NOW, records=[b"heartbeat"]
        )
        assert await self.throttle.attempt(subjects=("pin:a",), now=NOW) == 0
        assert await self._rotate()

    async def check_refused(self, kind: type[Exception]) -> None:
        """Check that every change raises the same problem."""
        one = play.session("a").session_id
        changes = [
            self.sessions.create(session=play.session("b"), records=[b"started"]),
            self.sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"]),
            self.sessions.close(session_id=one, position_ms=1000, now=NOW, records=[b"ended"]),
            self.sign_ins.begin(sign_in=signs.sign_in("2"), device=signs.device("phone")),
            self._rotate(),
            self._end(),
            self.throttle.attempt(subjects=("pin:a",), now=NOW),
            self.redis.check(),
        ]
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert {type(answer) for answer in answers} == {kind}

    async def _rotate(self) -> SignInChange | None:
        def rotate(old: signs.SignIn) -> SignInChange:
            return SignInChange(sign_in=replace(old, live=(b"new",)))

        return await self.sign_ins.change(sign_in_id=signs.sign_in().sign_in_id, now=signs.NOW, change=rotate)

    async def _end(self) -> SignInChange | None:
        def end(old: signs.SignIn) -> SignInChange:
            return SignInChange(sign_in=None, records=(signs.new_reuse_record(),))

        return await self.sign_ins.change(sign_in_id=signs.sign_in().sign_in_id, now=signs.NOW, change=end)


@pytest.fixture
async def stores(engine: EngineProcess) -> AsyncIterator[Stores]:
    async with AsyncExitStack() as stack:
        redis, admin = [await stack.enter_async_context(Redis(engine.url("x"))) for _ in range(2)]
        yield Stores(redis, admin)


async def test_restart_after_a_kill_keeps_the_data(engine: EngineProcess, stores: Stores) -> None:
    await stores.fill()
    await asyncio.to_thread(engine.kill)
    await stores.check_refused(EngineUnavailable)
    await asyncio.to_thread(engine.start)
    await stores.check_content()
    await stores.check_works()


async def test_unresponsive_engine_is_unavailable_within_the_deadline(engine: EngineProcess, stores: Stores) -> None:
    await stores.fill()
    engine.pause()
    with context.with_timeout(300):
        with pytest.raises(EngineUnavailable):
            await stores.sessions.find(session_id=play.session("a").session_id)
        remaining_ms = context.current().remaining_ms()
    engine.resume()
    assert remaining_ms == 0  # it waited until the deadline, before the engine was resumed
    await stores.check_content()


async def test_slow_engine_is_waited_for_within_the_deadline(engine: EngineProcess, stores: Stores) -> None:
    await stores.fill()
    one = play.session("a").session_id
    async with slow_proxy(engine.url("x")) as proxy, Redis(proxy.url) as redis:
        sessions = RedisSessionStore(redis)
        proxy.delay_s = 0.05
        assert await sessions.find(session_id=one)
        proxy.delay_s = 5.0
        with context.with_timeout(300), pytest.raises(EngineUnavailable):
            await sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"])
        proxy.delay_s = 0.0
        proxy.disconnect()
        with pytest.raises(EngineUnavailable):
            await sessions.find(session_id=one)
        proxy.restore()
        # The first change was executed although its response was lost: the second repeats it.
        assert await sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"])
        assert await play.relay_records(sessions) in (
            [b"started", b"heartbeat"],
            [b"started", b"heartbeat", b"heartbeat"],
        )


async def test_replica_answers_reads_and_refuses_changes(stores: Stores) -> None:
    await stores.fill()
    await stores.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    await stores.check_refused(EngineReadOnly)
    assert await stores.sessions.find(session_id=play.session("a").session_id) == play.session("a")
    await stores.admin.execute_command("REPLICAOF", "NO", "ONE")
    await stores.check_content()
    await stores.check_works()


async def test_full_engine_stores_a_change_completely_or_not_at_all(stores: Stores) -> None:
    await stores.fill()
    await stores.admin.config_set("maxmemory", "1mb")
    await stores.check_refused(StoreFull)
    assert await stores.sessions.find(session_id=play.session("a").session_id) == play.session("a")
    await stores.admin.config_set("maxmemory", "0")
    await stores.check_content()
    await stores.check_works()


async def test_full_engine_still_deletes(stores: Stores) -> None:
    await stores.fill()
    assert await stores.sessions.close(
        session_id=play.session("a").session_id, position_ms=0, now=NOW, records=[b"ended"]
    )
    await stores.admin.config_set("maxmemory", "1mb")
    old = signs.sign_in()
    ended = {"account_id": old.account_id, "sign_in_id": old.sign_in_id, "record": signs.new_end_record()}
    assert await stores.sign_ins.end(**ended) == 1
    await stores.throttle.reset(subjects=("pin:a",))
    assert await stores.throttle.expire_attempts(before=signs.later(10**9)) == 0
    assert await signs.look(stores.sign_ins) is None
    assert await stores.sign_ins.devices(account_id=signs.ADA, now=NOW) == [signs.device(signed_in=False)]
    assert await stores.sessions.delete_ended(before=NOW + timedelta(days=1)) == 1


async def test_emptied_engine_finds_nothing_and_takes_new_data(stores: Stores) -> None:
    await stores.fill()
    await stores.admin.flushall()
    one = play.session("a").session_id
    assert await stores.sessions.find(session_id=one) is None
    assert not await stores.sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"])
    assert not await stores.sessions.close(session_id=one, position_ms=1000, now=NOW, records=[b"ended"])
    assert await stores.sessions.list_idle(since=play.NOW, now=play.NOW, limit=10) == []
    assert await signs.look(stores.sign_ins) is None
    assert await play.relay_records(stores.sessions) == []
    await stores.fill()
    await stores.check_content()
