"""Facts through a follower whose handler does nothing, beside a loop of the bare libraries on the same log."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import confluent_kafka
import msgspec

from matinee.drivers.sql import Database
from matinee.events.adapters.kafka import KafkaEventLog
from matinee.events.adapters.sqlite import SqliteEventLog
from matinee.events.api import FactRecord, Follower, PlaybackHeartbeat, type_name
from matinee.events.jobs import GroupFollower, PollingFollower
from matinee.events.service import EventsService
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import FactId, PlaySessionId, ProfileId, TitleId
from matinee.lab.bench.figure import Figure, make_figure

AREA = "events"
BATCH, TIMEOUT_S = 1_000, 120
GOAL = 2.5
FACT_GOAL_US = 10.0  # 100,000 facts/s
_TYPE = type_name(PlaybackHeartbeat)
_decoder = msgspec.json.Decoder(FactRecord)

# Delivers all facts to a new consumer, and returns the time for one in µs.
Delivery: TypeAlias = Callable[[str], Awaitable[float]]


def make_heartbeats(first: int, count: int) -> list[FactRecord]:
    """Return records of heartbeats of 500 profiles."""
    now = SystemClock().now()
    return [
        FactRecord(
            fact_id=ids.generate(FactId, now),
            at=now,
            key=f"pro_{number % 500}",
            fact=PlaybackHeartbeat(
                session_id=ids.derive(PlaySessionId, str(number % 500)),
                profile_id=ids.derive(ProfileId, str(number % 500)),
                title_id=ids.derive(TitleId, "bench"),
                position_ms=number,
                state="playing",
                playing_ms=30_000,
                bandwidth_bps=8_000_000,
                rendition="1080p",
            ),
        )
        for number in range(first, first + count)
    ]


async def measure_sqlite(facts: int, rounds: int) -> list[Figure]:
    """Measure a follower on SQLite."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        async with Database(f"sqlite:///{folder}/events.db") as database:
            log = await SqliteEventLog.open(database)
            service = EventsService(log=log, dead_letters=log, leases=log, clock=clock)
            await _append(service, facts)
            follower = PollingFollower(service, clock)

            async def run_bare(consumer: str) -> float:
                return await asyncio.to_thread(_read_sqlite, Path(folder) / "events.db", consumer, facts)

            us, bare_us = await _compare(lambda consumer: _follow(follower, consumer, facts), run_bare, rounds)
    return _to_figures("SQLite", us, bare_us, "sqlite3 and msgspec", FACT_GOAL_US)


async def measure_kafka(log_url: str, partitions: int, facts: int, rounds: int) -> list[Figure]:
    """Measure a follower on Kafka."""
    clock = SystemClock()
    async with KafkaEventLog.open(log_url, region="bench", partitions=partitions, replication=1) as log:
        service = EventsService(log=log, dead_letters=log, leases=None, clock=clock)
        await _append(service, facts)
        follower = GroupFollower(log, service, clock)

        async def run_bare(consumer: str) -> float:
            return await asyncio.to_thread(_read_kafka, log_url, consumer, facts)

        us, bare_us = await _compare(lambda consumer: _follow(follower, consumer, facts), run_bare, rounds)
    return _to_figures("Kafka", us, bare_us, "confluent-kafka and msgspec", None)


async def _append(service: EventsService, facts: int) -> None:
    for first in range(0, facts, BATCH):
        await service.append(records=make_heartbeats(first, BATCH))


async def _compare(ours: Delivery, bare: Delivery, rounds: int) -> tuple[float, float]:
    """Return the medians of both over rounds in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        times[0].append(await ours(f"ours-{number}"))
        times[1].append(await bare(f"bare-{number}"))
    return statistics.median(times[0]), statistics.median(times[1])


def _to_figures(engine: str, us: float, bare_us: float, bare_name: str, goal_us: float | None) -> list[Figure]:
    name = f"follow a fact: {engine}"
    return [
        make_figure(AREA, name, us, "µs", baseline=bare_us, baseline_name=f"{bare_name}, same batches", goal=GOAL),
        make_figure(AREA, f"{name}, time of a fact", us, "µs", goal=goal_us),
    ]


async def _follow(follower: Follower, consumer: str, facts: int) -> float:
    timer, done = _Timer(facts), asyncio.Event()

    async def handle(records: list[FactRecord]) -> None:
        if timer.count(len(records)):
            done.set()

    following = asyncio.create_task(
        follower.follow(consumer=consumer, types=(PlaybackHeartbeat,), handle=handle, max_batch=BATCH)
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await done.wait()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return timer.fact_us


def _read_sqlite(file: Path, consumer: str, facts: int) -> float:
    timer, after = _Timer(facts), 0
    connection = sqlite3.connect(file, timeout=30)
    connection.execute("CREATE TABLE IF NOT EXISTS bare (consumer TEXT PRIMARY KEY, seq INTEGER)")
    while rows := connection.execute(
        "SELECT seq, record FROM events_log WHERE type = ? AND seq > ? ORDER BY seq LIMIT ?", (_TYPE, after, BATCH)
    ).fetchall():
        timer.count(len([_decoder.decode(record) for _, record in rows]))
        after = rows[-1][0]
        with connection:
            connection.execute("INSERT OR REPLACE INTO bare VALUES (?, ?)", (consumer, after))
    connection.close()
    return timer.fact_us


def _read_kafka(log_url: str, consumer: str, facts: int) -> float:
    timer, prefix = _Timer(facts), urlsplit(log_url).path.strip("/")
    client = confluent_kafka.Consumer(
        {
            "bootstrap.servers": urlsplit(log_url).netloc,
            "group.id": f"{prefix}.{consumer}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    client.subscribe([f"{prefix}.{_TYPE}"])
    is_complete = False
    while not is_complete:
        if messages := client.consume(BATCH, 0.2):
            is_complete = timer.count(len([_decoder.decode(_value(message)) for message in messages]))
            client.commit(asynchronous=True)
    client.close()
    return timer.fact_us


def _value(message: Any) -> bytes:
    return message.value() or b""


class _Timer:
    """Measures from the first batch on: joining a group takes seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start_s = 0.0
        self._first = self._count = 0
        self.fact_us = 0.0

    def count(self, facts: int) -> bool:
        """Count a batch; return whether it was the last."""
        now_s = time.perf_counter()
        if not self._count:
            self._start_s, self._first = now_s, facts
        self._count += facts
        self.fact_us = (now_s - self._start_s) / max(1, self._count - self._first) * 1e6
        return self._count >= self._total
