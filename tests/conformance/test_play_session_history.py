"""Play sessions while their engine is killed repeatedly.

Two instances create, move and close the same sessions concurrently. Every operation and its result is recorded and
compared with the final state: acknowledged operations and their facts are stored, the latest move stays, and an ended
session stays as it ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.conformance.test_play_session_store import NOW, Store, reopening, session
from tests.engines import private_engine

from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit.clock import from_ms, to_ms
from matinee.playback.model.sessions import StoredSession

KILLS = 3
SESSIONS = 12
STEPS = 60


class Operation(msgspec.Struct, kw_only=True):
    """An operation on a session; `result` is None where no answer came. Times are monotonic."""

    what: str
    name: str
    at_ms: int
    began: float
    ended: float = 0.0
    result: bool | None = None

    @property
    def fact(self) -> bytes:
        return f"{self.what} {self.name} {self.at_ms}".encode()


class History:
    """All operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._moments = count(to_ms(NOW))

    async def do(self, what: str, name: str, act: Callable[[int, list[bytes]], Awaitable[bool | None]]) -> Operation:
        operation = Operation(what=what, name=name, at_ms=next(self._moments), began=time.monotonic())
        self.operations.append(operation)
        try:
            result = await act(operation.at_ms, [operation.fact])
            operation.result = True if result is None else result
        except ENGINE_PROBLEMS:
            await asyncio.sleep(0.05)
        operation.ended = time.monotonic()
        return operation

    def of(self, name: str, *kinds: str, result: bool | None = True) -> list[Operation]:
        return [
            operation
            for operation in self.operations
            if operation.name == name and operation.what in kinds and operation.result is result
        ]


async def begin(store: Store, history: History, name: str) -> None:
    async def act(at_ms: int, records: list[bytes]) -> None:
        await store.create(session=session(name, last_seen_at=NOW), records=records)

    while not (await history.do("begin", name, act)).result:
        pass


async def watch(store: Store, history: History, name: str, rng: Random) -> None:
    """Run one instance's operations on a session: many moves, at most one close."""
    one = session(name).session_id
    for _ in range(STEPS):
        if rng.random() < 0.01:
            await history.do(
                "close",
                name,
                lambda at, facts: store.close(
                    session_id=one, position_ms=at - to_ms(NOW), now=from_ms(at), records=facts
                ),
            )
        else:
            await history.do(
                "move",
                name,
                lambda at, facts: store.move(
                    session_id=one, position_ms=at - to_ms(NOW), now=from_ms(at), records=facts
                ),
            )
        await asyncio.sleep(rng.random() * 0.1)


@pytest.mark.parametrize("engine_name", ["redis", "mariadb"])
async def test_acknowledged_operations_survive_kills(tmp_path: Path, engine_name: str) -> None:
    rng, history, log = Random(engine_name), History(), list[bytes]()
    names = [str(number) for number in range(SESSIONS)]

    async def append(records: list[bytes]) -> None:
        log.extend(records)

    with private_engine(engine_name, tmp_path) as own:
        async with reopening(own.url("history")) as reopen:
            stores = [await reopen(), await reopen()]
            relays = [asyncio.create_task(store.outbox.run(append)) for store in stores]
            await asyncio.gather(*(begin(stores[n % 2], history, name) for n, name in enumerate(names)))
            watching = [asyncio.create_task(watch(s, history, name, rng)) for s in stores for name in names]
            for _ in range(KILLS):
                await asyncio.sleep(0.5)
                await asyncio.to_thread(own.kill)
                await asyncio.to_thread(own.start)
            await asyncio.gather(*watching)
            for one in relays:
                one.cancel()
            await asyncio.gather(*relays, return_exceptions=True)
            await stores[0].outbox.relay(append)
            kept = {name: await stores[1].find(session_id=session(name).session_id) for name in names}
    assert any(operation.result is None for operation in history.operations)  # the kills interrupted some
    for name, one in kept.items():
        assert one is not None
        _check_state(history, name, one)
        _check_facts(history, name, log)


def _check_state(history: History, name: str, kept: StoredSession) -> None:
    moves, closes = history.of(name, "move"), history.of(name, "close")
    unanswered = history.of(name, "move", "close", result=None)
    assert len(closes) <= 1
    if kept.ended_at is None:
        assert not closes
        assert not history.of(name, "move", "close", result=False)
    else:
        end = next(d for d in [*closes, *unanswered] if d.what == "close" and from_ms(d.at_ms) == kept.ended_at)
        assert kept.position_ms == end.at_ms - to_ms(NOW)
        over = end.ended if end.result else min((d.began for d in history.of(name, "move", result=False)), default=None)
        assert over is None or not [operation for operation in moves if operation.began > over]
        return
    newest = max([operation.at_ms for operation in moves], default=to_ms(NOW))
    assert to_ms(kept.last_seen_at) in {
        newest,
        *(operation.at_ms for operation in unanswered if operation.at_ms > newest),
    }
    assert kept.position_ms == to_ms(kept.last_seen_at) - to_ms(NOW)


def _check_facts(history: History, name: str, log: list[bytes]) -> None:
    first_visible = {fact: at for at, fact in reversed(list(enumerate(log)))}
    done = history.of(name, "begin", "move", "close")
    assert {operation.fact for operation in done} <= first_visible.keys()
    assert not first_visible.keys() & {operation.fact for operation in history.of(name, "move", "close", result=False)}
    done.sort(key=lambda operation: first_visible[operation.fact])
    for before, after in pairwise(done):
        assert before.began < after.ended, "a fact precedes one that was acknowledged before it started"
