"""Positions on a ring of three nodes: one hangs, one is killed, two are down, all return; nothing is lost.

One history in phases: writers move the same positions with clocks that differ, readers read them, and a writer in
another process is killed. The results are written to `build/ring.json`.
"""

import asyncio
import contextlib
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

import acsylla
import msgspec
import pytest
from acsylla.errors import CassException
from tests.engines import private_engine

from matinee.drivers.cassandra import Cassandra
from matinee.drivers.engine import ENGINE_PROBLEMS, EngineUnavailable
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, DeviceId, ProfileId, TitleId
from matinee.lab.engines import EngineProcess, Ring
from matinee.lab.engines.ring import START_S
from matinee.viewing import model
from matinee.viewing.adapters.cassandra import CassandraViewingStore
from matinee.viewing.api import Position

pytestmark = [pytest.mark.timeout(900)]
NOW = datetime(2026, 5, 1, 20, tzinfo=UTC)
WHO = (ids.derive(AccountId, "a"), ids.derive(ProfileId, "anna"))
TITLES, WRITERS, READERS = 12, 4, 2
REPORT = Path(__file__).parents[2] / "build" / "ring.json"


class Phase(msgspec.Struct, kw_only=True):
    """The results of one state of the ring."""

    phase: str
    saved: int = 0
    read: int = 0
    failed: int = 0
    longest_save_ms: int = 0
    longest_read_ms: int = 0
    longest_failure_ms: int = 0
    refused_after_ms: int = 0  # with the default limits

    def has_progressed(self) -> bool:
        """Tell whether enough requests have succeeded."""
        return self.saved >= 50 and self.read >= 50


class History:
    """All requests and their results."""

    def __init__(self) -> None:
        self.rng = random.Random(11)
        self.requested: set[Position] = set()
        self.stored: set[Position] = set()  # acknowledged changes
        self.newest: defaultdict[TitleId, Any] = defaultdict(lambda: (NOW - timedelta(1),))  # acknowledged, by title
        self.phases: list[Phase] = []
        self.step = 0

    def new_position(self, device: str) -> Position:
        """Return the next position of a device whose clock is up to two seconds off."""
        self.step += 1
        position = at(self.step, self.rng.randrange(TITLES), device, skew_ms=self.rng.randrange(-2000, 2000))
        self.requested.add(position)
        return position

    async def save(self, store: CassandraViewingStore, device: str) -> None:
        phase, started_at, position = self.phases[-1], time.monotonic(), self.new_position(device)
        try:
            stands = await store.save(position, now=position.updated_at)
        except ENGINE_PROBLEMS:
            phase.failed += 1
            phase.longest_failure_ms = max(phase.longest_failure_ms, elapsed_ms(started_at))
            return
        phase.saved += 1
        phase.longest_save_ms = max(phase.longest_save_ms, elapsed_ms(started_at))
        assert model.precedence(stands) >= model.precedence(position)
        if stands == position:
            self.stored.add(position)
        self.newest[stands.title_id] = max(self.newest[stands.title_id], model.precedence(stands))

    async def read(self, store: CassandraViewingStore) -> None:
        phase, title_id = self.phases[-1], title(self.rng.randrange(TITLES))
        acknowledged, started_at = self.newest[title_id], time.monotonic()
        try:
            found = await store.list_by_titles(*WHO, [title_id])
        except ENGINE_PROBLEMS:
            phase.failed += 1
            phase.longest_failure_ms = max(phase.longest_failure_ms, elapsed_ms(started_at))
            return
        phase.read += 1
        phase.longest_read_ms = max(phase.longest_read_ms, elapsed_ms(started_at))
        standing = max((model.precedence(one) for one in found), default=(NOW - timedelta(1),))
        assert standing >= acknowledged

    @asynccontextmanager
    async def phase(self, name: str, *stores: CassandraViewingStore) -> AsyncIterator[Phase]:
        """Run writers and readers during the block."""
        self.phases.append(phase := Phase(phase=name))
        ends = asyncio.Event()

        async def repeat(action: Any, *args: Any) -> None:
            while not ends.is_set():
                await action(*args)
                await asyncio.sleep(0.15)  # leaves time to a node that starts

        async with asyncio.TaskGroup() as workers:
            for n in range(WRITERS):
                workers.create_task(repeat(self.save, stores[n % len(stores)], f"device {n}"))
            for n in range(READERS):
                workers.create_task(repeat(self.read, stores[n % len(stores)]))
            yield phase
            ends.set()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    with private_engine("cassandra", tmp_path_factory.mktemp("ring"), nodes=3) as ring:
        assert isinstance(ring, Ring)
        yield ring


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


def elapsed_ms(started_at: float) -> int:
    return round((time.monotonic() - started_at) * 1000)


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[CassandraViewingStore]:
    # Longer than the default, for a machine that runs the ring and its clients on two cores.
    async with Cassandra(url, limit_s=20, attempt_s=2) as cassandra:
        yield await CassandraViewingStore.open(cassandra, SystemClock())


async def test_acknowledged_positions_survive_failures_of_nodes(ring: Ring) -> None:
    url, history = ring.url("ring"), History()
    one, two, three = ring.nodes
    async with open_store(url) as here, open_store(url) as there:
        async with history.phase("three nodes", here, there) as phase:
            await _wait_until(phase.has_progressed)
        writer = await _start_writer(url)
        async with history.phase("one hangs", here, there) as phase:
            three.pause()
            await _wait_until(phase.has_progressed)
            acknowledged = await _kill_writer(writer)
        three.resume()
        async with history.phase("one is killed", here, there) as phase:
            three.kill()
            await _wait_until(phase.has_progressed)
        async with history.phase("two are down", here, there) as down:
            two.pause()
            down.refused_after_ms = await _check_refused(url)
            await _wait_until(lambda: down.failed > 0)
        async with history.phase("one of them is back", here, there) as back:
            two.resume()  # until the other node has noticed, it refuses for want of replicas
            await _wait_until(back.has_progressed)
        async with history.phase("two of three again", here, there) as phase:
            await _wait_until(phase.has_progressed)
        async with history.phase("the third comes back", here, there) as phase:
            await asyncio.to_thread(three.start, START_S)
            for node in ring.nodes:
                await _wait_until_all_replicas_answer(node, "ring")
            phase.saved = phase.read = 0
            one.pause()
            await _wait_until(phase.has_progressed)
            one.resume()
    await _check_and_report(url, history, acknowledged)


async def _wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if is_true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the condition stayed false")


async def _wait_until_all_replicas_answer(node: EngineProcess, keyspace: str) -> None:
    """Wait until a query of this node succeeds on every replica: then the node knows that all others are up."""
    location = node.location
    cluster = acsylla.create_cluster(
        [location.host],
        port=location.port,
        whitelist_hosts=location.host,
        consistency=acsylla.Consistency.ALL,
        log_level="disabled",
    )
    session = await cluster.create_session(keyspace)
    try:
        for _ in range(600):
            with contextlib.suppress(CassException):
                await session.query("SELECT title_id FROM playback_state LIMIT 1")
                return
            await asyncio.sleep(0.2)
    finally:
        await session.close()
    raise AssertionError(f"{node.location.host} did not find all replicas")


async def _check_refused(url: str) -> int:
    """Check that a store with the default limits refuses; return after how many milliseconds."""
    async with Cassandra(url) as cassandra:
        started_at = time.monotonic()
        with pytest.raises(EngineUnavailable) as refused:
            await (CassandraViewingStore(cassandra, SystemClock())).list_by_titles(*WHO, [title(0)])
        assert "cassandra at 127.0.0.1" in str(refused.value)
        return elapsed_ms(started_at)


async def _check_and_report(url: str, history: History, acknowledged: int) -> None:
    """Compare positions with the history, and write the report."""
    async with open_store(url) as store:
        standing = {
            one.title_id: one for one in await store.list_recent(*WHO, after=None, limit=100, dismissed=True, now=NOW)
        }
    by_phase = {phase.phase: phase for phase in history.phases}
    report = {
        "phases": history.phases,
        "asked": len(history.requested),
        "acknowledged changes": len(history.stored) + acknowledged,
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    print(REPORT.read_text())
    for title_id, newest in history.newest.items():
        assert model.precedence(standing[title_id]) >= newest
        assert standing[title_id] in history.requested
    for step in range(max(0, acknowledged - 4), acknowledged + 1):
        written = _killed_writers_position(step)
        assert model.precedence(standing[written.title_id]) >= model.precedence(written)
    for name in ("three nodes", "one hangs", "one is killed", "two of three again", "the third comes back"):
        assert by_phase[name].failed == 0, name
        assert by_phase[name].saved > 0, name
    assert by_phase["two are down"].failed > 0


def _killed_writers_position(step: int) -> Position:
    return at(step, TITLES + step % 5, "lost")


async def _start_writer(url: str) -> asyncio.subprocess.Process:
    """Start a writer in another process, on its own titles."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    return await asyncio.create_subprocess_exec(sys.executable, __file__, url, stdout=asyncio.subprocess.PIPE, env=env)


async def _kill_writer(writer: asyncio.subprocess.Process) -> int:
    """Kill the writer and return the last acknowledged step."""
    assert writer.stdout is not None
    acknowledged = -1
    while acknowledged < 20:
        line = await writer.stdout.readline()
        assert line, "the writer has ended"
        if line.startswith(b"saved "):
            acknowledged = int(line[6:])
    writer.kill()
    rest, _ = await writer.communicate()
    return max([acknowledged, *(int(line[6:]) for line in rest.split(b"\n")[:-1] if line.startswith(b"saved "))])


async def write_until_killed(url: str) -> None:
    async with open_store(url) as store:
        for step in range(100_000):
            position = _killed_writers_position(step)
            await store.save(position, now=position.updated_at)
            print("saved", step, flush=True)


if __name__ == "__main__":
    asyncio.run(write_until_killed(sys.argv[1]))
