"""Positions on a ring of three: one node hangs, one is killed, two are gone, all come back; nothing is lost.

One history, told in phases. Writers move the same positions with clocks that differ, readers look, facts are relayed;
one writer is a process that is killed. What was seen is written to `build/ring.json`.
"""

import asyncio
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engines import private_engine

from matinee.drivers.cassandra import Cassandra
from matinee.drivers.engine import ENGINE_PROBLEMS, EngineUnavailable
from matinee.events.api import FactRecord, PositionMoved, new_record
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, TitleId
from matinee.lab.engines import Ring
from matinee.viewing import model
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position

pytestmark = [pytest.mark.timeout(400)]
NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
WHO = (ids.derive(AccountId, "a"), ids.derive(ProfileId, "anna"))
TITLES, WRITERS, READERS = 12, 4, 2
REPORT = Path(__file__).parents[2] / "build" / "ring.json"


class Phase(msgspec.Struct, kw_only=True):
    """What was seen while the ring was in one state; times in milliseconds."""

    phase: str
    saved: int = 0
    read: int = 0
    failed: int = 0
    longest_save_ms: int = 0
    longest_read_ms: int = 0
    longest_failure_ms: int = 0
    told_after_ms: int = 0  # with the default limits


class History:
    """All that was asked and answered."""

    def __init__(self) -> None:
        self.rng = random.Random(11)
        self.asked: set[Position] = set()
        self.stored: set[Position] = set()  # those whose change was acknowledged
        self.newest: defaultdict[TitleId, Any] = defaultdict(lambda: (NOW - timedelta(1),))  # acknowledged, by title
        self.facts: set[Position] = set()
        self.phases: list[Phase] = []
        self.step = 0

    def next(self, device: str) -> Position:
        """The next position of a device whose clock is up to two seconds off."""
        self.step += 1
        position = at(self.step, self.rng.randrange(TITLES), device, skew_ms=self.rng.randrange(-2000, 2000))
        self.asked.add(position)
        return position

    async def save(self, store: CassandraViewingStore, device: str) -> None:
        phase, began, position = self.phases[-1], time.monotonic(), self.next(device)
        try:
            stands = await store.save(position, record=fact(position))
        except ENGINE_PROBLEMS:
            phase.failed += 1
            phase.longest_failure_ms = max(phase.longest_failure_ms, since(began))
            return
        phase.saved += 1
        phase.longest_save_ms = max(phase.longest_save_ms, since(began))
        assert model.standing(stands) >= model.standing(position)
        if stands == position:
            self.stored.add(position)
        self.newest[stands.title_id] = max(self.newest[stands.title_id], model.standing(stands))

    async def read(self, store: CassandraViewingStore) -> None:
        phase, title_id = self.phases[-1], title(self.rng.randrange(TITLES))
        acknowledged, began = self.newest[title_id], time.monotonic()
        try:
            found = await store.of_titles(*WHO, [title_id])
        except ENGINE_PROBLEMS:
            phase.failed += 1
            phase.longest_failure_ms = max(phase.longest_failure_ms, since(began))
            return
        phase.read += 1
        phase.longest_read_ms = max(phase.longest_read_ms, since(began))
        standing = max((model.standing(one) for one in found), default=(NOW - timedelta(1),))
        assert standing >= acknowledged

    async def append(self, records: list[bytes]) -> None:
        """The log."""
        facts = [msgspec.json.decode(record, type=FactRecord).fact for record in records]
        self.facts |= {Position(**msgspec.structs.asdict(one)) for one in facts if isinstance(one, PositionMoved)}

    @asynccontextmanager
    async def phase(self, name: str, *stores: CassandraViewingStore) -> AsyncIterator[Phase]:
        """Writers and readers at work for as long as the block takes."""
        self.phases.append(phase := Phase(phase=name))
        ends = asyncio.Event()

        async def again(deed: Any, *args: Any) -> None:
            while not ends.is_set():
                await deed(*args)
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as all_of_them:
            for n in range(WRITERS):
                all_of_them.create_task(again(self.save, stores[n % len(stores)], f"device {n}"))
            for n in range(READERS):
                all_of_them.create_task(again(self.read, stores[n % len(stores)]))
            yield phase
            ends.set()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    with private_engine("cassandra", tmp_path_factory.mktemp("ring"), nodes=3) as started:
        assert isinstance(started, Ring)
        yield started


def title(n: int) -> TitleId:
    return ids.derive(TitleId, str(n))


def at(step: int, n: int, device: str, skew_ms: int = 0) -> Position:
    return Position(
        account_id=WHO[0],
        profile_id=WHO[1],
        title_id=title(n),
        position_ms=step,
        duration_ms=10_000_000,
        updated_at=NOW + timedelta(milliseconds=50 * step + skew_ms),
        device_id=DeviceId(device),
    )


def fact(position: Position) -> FactRecord:
    moved = PositionMoved(**msgspec.structs.asdict(position))
    return new_record(moved, key=position.profile_id, now=NOW)


def since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[CassandraViewingStore]:
    # A machine that runs the ring and its clients on two cores is given more time than the default.
    async with Cassandra(url, limit_s=20, attempt_s=2) as cassandra:
        yield await CassandraViewingStore.open(cassandra, SystemClock())


async def test_what_was_acknowledged_is_there_whatever_befell_the_ring(ring: Ring) -> None:
    url, history = ring.url("ring"), History()
    one, two, three = ring.nodes
    async with opened(url) as here, opened(url) as there:
        relaying = [asyncio.create_task(store.outbox.run(history.append)) for store in (here, there)]
        async with history.phase("three nodes", here, there):
            await asyncio.sleep(2)
        lost = await _writer(url)
        async with history.phase("one hangs", here, there):
            three.pause()
            await asyncio.sleep(2)
            acknowledged = await _killed(lost)
        three.resume()
        async with history.phase("one is killed", here, there):
            three.kill()
            await asyncio.sleep(2)
        async with history.phase("two are gone", here, there) as gone:
            two.pause()
            gone.told_after_ms = await _clear_word(url)
            await _until(lambda: gone.failed > 0)
        async with history.phase("one of them is back", here, there) as back:
            two.resume()  # until the other one hears of it, that one says that there are too few
            await _until(lambda: back.saved >= 50 and back.read >= 50)
        async with history.phase("two of three again", here, there):
            await asyncio.sleep(2)
        async with history.phase("the third comes back", here, there):
            await asyncio.to_thread(three.start)
            await asyncio.sleep(3)  # until the others have heard of it
            one.pause()
            await asyncio.sleep(2)
            one.resume()
        for task in relaying:
            task.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)
    await _judged(url, history, acknowledged)


async def _until(seen: Callable[[], bool]) -> None:
    for _ in range(1200):
        if seen():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it was never seen")


async def _clear_word(url: str) -> int:
    """With two of three gone, who has the default limits is told so; tells after how many milliseconds."""
    async with Cassandra(url) as cassandra:
        began = time.monotonic()
        with pytest.raises(EngineUnavailable) as told:
            await (CassandraViewingStore(cassandra, SystemClock())).of_titles(*WHO, [title(0)])
        assert "cassandra at 127.0.0.1" in str(told.value)
        return since(began)


async def _judged(url: str, history: History, acknowledged: int) -> None:
    """What stands, what was told, and the report."""
    async with opened(url) as fresh:
        waited = await fresh.outbox.relay(history.append)
        standing = {one.title_id: one for one in await fresh.recent(*WHO, after=None, limit=100, dismissed=True)}
        lost = {one for step in range(acknowledged + 1) if (one := _of_the_lost(step))} - {None}
    by_phase = {phase.phase: phase for phase in history.phases}
    report = {
        "phases": history.phases,
        "asked": len(history.asked),
        "acknowledged changes": len(history.stored) + acknowledged,
        "facts relayed": len(history.facts),
        "facts that waited at the end": waited,
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    print(REPORT.read_text())
    for title_id, newest in history.newest.items():
        assert model.standing(standing[title_id]) >= newest
        assert standing[title_id] in history.asked
    assert history.stored <= history.facts
    assert lost <= history.facts
    for quiet in ("three nodes", "one hangs", "one is killed", "two of three again", "the third comes back"):
        assert by_phase[quiet].failed == 0, quiet
        assert by_phase[quiet].saved > 0, quiet
    assert by_phase["two are gone"].failed > 0


def _of_the_lost(step: int) -> Position:
    return at(step, TITLES + step % 5, "lost")


async def _writer(url: str) -> asyncio.subprocess.Process:
    """A writer in a process of its own, on titles of its own."""
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return await asyncio.create_subprocess_exec(sys.executable, __file__, url, stdout=asyncio.subprocess.PIPE, env=env)


async def _killed(writer: asyncio.subprocess.Process) -> int:
    """Kill the writer; tells the last step that was acknowledged."""
    assert writer.stdout is not None
    acknowledged = -1
    while acknowledged < 20:
        line = await writer.stdout.readline()
        assert line, "the writer ended by itself"
        if line.startswith(b"saved "):
            acknowledged = int(line[6:])
    writer.kill()
    rest, _ = await writer.communicate()
    return max([acknowledged, *(int(line[6:]) for line in rest.split(b"\n")[:-1] if line.startswith(b"saved "))])


async def write_until_killed(url: str) -> None:
    async with opened(url) as store:
        for step in range(100_000):
            await store.save(_of_the_lost(step), record=fact(_of_the_lost(step)))
            print("saved", step, flush=True)


if __name__ == "__main__":
    asyncio.run(write_until_killed(sys.argv[1]))
