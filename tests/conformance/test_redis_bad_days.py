"""Sessions, sign-ins and tries on a Redis that has a bad day: killed, hung, slow, read-only, full, emptied."""

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
from matinee.lab.engines import Running
from matinee.playback.adapters.redis import RedisSessionStore

NOW = play.NOW


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    with private_engine("redis", tmp_path) as running:
        yield running


class Deployment:
    """The three stores on one Redis, and a line to it that is not theirs."""

    def __init__(self, redis: Redis, line: Redis) -> None:
        self.sessions = RedisSessionStore(redis)
        self.sign_ins = RedisSignInStore(redis)
        self.throttle = RedisThrottle(redis)
        self.redis = redis
        self.line = line.client

    async def stand(self) -> None:
        """Have a session, a sign-in and a try in it."""
        await self.sessions.create(session=play.session("a"), records=[b"started"])
        await self.sign_ins.begin(sign_in=signs.sign_in(), device=signs.device())
        assert await self.throttle.attempt(subjects=("pin:a",), now=NOW) == 0

    async def is_as_it_was(self) -> None:
        """What `stand` made is there, and nothing else."""
        assert await self.sessions.find(session_id=play.session("a").session_id) == play.session("a")
        assert await signs.read_autocommit(self.sign_ins) == signs.sign_in()
        assert await self.sign_ins.devices(account_id=signs.ADA, now=signs.NOW) == [signs.device()]
        assert await play.relayed(self.sessions) == [b"started"]
        assert await play.relayed(self.sign_ins) == []

    async def goes_on(self) -> None:
        """Everything works."""
        await self.redis.check()
        assert await self.sessions.move(
            session_id=play.session("a").session_id, position_ms=1000, now=NOW, records=[b"heartbeat"]
        )
        assert await self.throttle.attempt(subjects=("pin:a",), now=NOW) == 0
        assert await self._turn()

    async def refuses(self, kind: type[Exception]) -> None:
        """Every change is refused with the same words."""
        one = play.session("a").session_id
        tries = [
            self.sessions.create(session=play.session("b"), records=[b"started"]),
            self.sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"]),
            self.sessions.close(session_id=one, position_ms=1000, now=NOW, records=[b"ended"]),
            self.sign_ins.begin(sign_in=signs.sign_in("2"), device=signs.device("phone")),
            self._turn(),
            self._end(),
            self.throttle.attempt(subjects=("pin:a",), now=NOW),
            self.redis.check(),
        ]
        answers = await asyncio.gather(*tries, return_exceptions=True)
        assert {type(answer) for answer in answers} == {kind}

    async def _turn(self) -> SignInChange | None:
        def turn(old: signs.SignIn) -> SignInChange:
            return SignInChange(sign_in=replace(old, live=(b"new",)))

        return await self.sign_ins.change(sign_in_id=signs.sign_in().sign_in_id, now=signs.NOW, change=turn)

    async def _end(self) -> SignInChange | None:
        def reused(old: signs.SignIn) -> SignInChange:
            return SignInChange(sign_in=None, records=(signs.reused(),))

        return await self.sign_ins.change(sign_in_id=signs.sign_in().sign_in_id, now=signs.NOW, change=reused)


@pytest.fixture
async def deployment(own: Running) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        redis, line = [await stack.enter_async_context(Redis(own.url("x"))) for _ in range(2)]
        yield Deployment(redis, line)


async def test_killed_and_started_again_it_has_what_it_had(own: Running, deployment: Deployment) -> None:
    await deployment.stand()
    await asyncio.to_thread(own.kill)
    await deployment.refuses(EngineUnavailable)
    await asyncio.to_thread(own.start)
    await deployment.is_as_it_was()
    await deployment.goes_on()


async def test_hung_it_is_away_within_the_deadline(own: Running, deployment: Deployment) -> None:
    await deployment.stand()
    own.pause()
    with context.with_timeout(300):
        with pytest.raises(EngineUnavailable):
            await deployment.sessions.find(session_id=play.session("a").session_id)
        remaining_ms = context.current().remaining_ms()
    own.resume()
    assert remaining_ms == 0  # it waited so long, and no longer: the pause is not over
    await deployment.is_as_it_was()


async def test_slow_it_is_waited_for_within_the_deadline(own: Running, deployment: Deployment) -> None:
    await deployment.stand()
    one = play.session("a").session_id
    async with slow_proxy(own.url("x")) as proxy, Redis(proxy.url) as redis:
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
        # It did what it was asked, though nobody heard the answer: said again it does it once more.
        assert await sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"])
        assert await play.relayed(sessions) in ([b"started", b"heartbeat"], [b"started", b"heartbeat", b"heartbeat"])


async def test_a_replica_tells_what_it_has_and_takes_nothing(deployment: Deployment) -> None:
    await deployment.stand()
    await deployment.line.execute_command("REPLICAOF", "127.0.0.1", "1")
    await deployment.refuses(EngineReadOnly)
    assert await deployment.sessions.find(session_id=play.session("a").session_id) == play.session("a")
    await deployment.line.execute_command("REPLICAOF", "NO", "ONE")
    await deployment.is_as_it_was()
    await deployment.goes_on()


async def test_full_it_keeps_all_of_a_change_or_nothing(deployment: Deployment) -> None:
    await deployment.stand()
    await deployment.line.config_set("maxmemory", "1mb")
    await deployment.refuses(StoreFull)
    assert await deployment.sessions.find(session_id=play.session("a").session_id) == play.session("a")
    await deployment.line.config_set("maxmemory", "0")
    await deployment.is_as_it_was()
    await deployment.goes_on()


async def test_full_it_still_lets_go(deployment: Deployment) -> None:
    await deployment.stand()
    assert await deployment.sessions.close(
        session_id=play.session("a").session_id, position_ms=0, now=NOW, records=[b"ended"]
    )
    await deployment.line.config_set("maxmemory", "1mb")
    await deployment.sign_ins.end(sign_in_id=signs.sign_in().sign_in_id)
    await deployment.throttle.forgive(subjects=("pin:a",))
    assert await deployment.throttle.forget(before=signs.later(10**9)) == 0
    assert await signs.read_autocommit(deployment.sign_ins) is None
    assert await deployment.sign_ins.devices(account_id=signs.ADA, now=NOW) == [signs.device(signed_in=False)]
    assert await deployment.sessions.delete_ended(before=NOW + timedelta(days=1)) == 1


async def test_emptied_it_knows_nobody_and_begins_anew(deployment: Deployment) -> None:
    await deployment.stand()
    await deployment.line.flushall()
    one = play.session("a").session_id
    assert await deployment.sessions.find(session_id=one) is None
    assert not await deployment.sessions.move(session_id=one, position_ms=1000, now=NOW, records=[b"heartbeat"])
    assert not await deployment.sessions.close(session_id=one, position_ms=1000, now=NOW, records=[b"ended"])
    assert await deployment.sessions.find_idle(since=play.NOW, limit=10) == []
    assert await signs.read_autocommit(deployment.sign_ins) is None
    assert await play.relayed(deployment.sessions) == []
    await deployment.stand()
    await deployment.is_as_it_was()
