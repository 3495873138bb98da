"""Facts through a follower whose handler does nothing, beside a loop of the bare libraries on the same log."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
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
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench, Variant, measure_in_turns

BATCH, PARTITIONS, TIMEOUT_S = 1_000, 4, 120
GOAL = 2.5
FACT_GOAL_US = 10.0  # 100,000 facts/s
_TYPE = type_name(PlaybackHeartbeat)
_decoder = msgspec.json.Decoder(FactRecord)


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


async def measure_sqlite(bench: Bench) -> None:
    """Measure a follower on SQLite."""
    clock, file = SystemClock(), bench.folder / "events.db"
    log = await SqliteEventLog.open(await bench.stack.enter_async_context(Database(f"sqlite:///{file}")))
    service = EventsService(log=log, dead_letters=log, leases=log, clock=clock)
    follower = PollingFollower(service, clock)
    samples, bare = await _compare(bench, service, follower, partial(_read_sqlite, file), "sqlite3 and msgspec")
    bench.report("follow a fact: SQLite", samples, "µs", baseline=bare, max_ratio=GOAL)
    bench.report("follow a fact: SQLite, time of a fact", samples, "µs", max_value=FACT_GOAL_US)


async def measure_kafka(bench: Bench, url: str) -> None:
    """Measure a follower on Kafka."""
    clock = SystemClock()
    log = await bench.stack.enter_async_context(
        KafkaEventLog.open(url, region="bench", partitions=PARTITIONS, replication=1)
    )
    service = EventsService(log=log, dead_letters=log, leases=None, clock=clock)
    follower = GroupFollower(log, service, clock)
    samples, bare = await _compare(bench, service, follower, partial(_read_kafka, url), "confluent-kafka and msgspec")
    bench.report("follow a fact: Kafka", samples, "µs", baseline=bare, max_ratio=GOAL)
    bench.report("follow a fact: Kafka, time of a fact", samples, "µs")


async def _compare(
    bench: Bench, service: EventsService, follower: Follower, read: Callable[[str, int], float], libraries: str
) -> list[Samples]:
    """Deliver all facts to new consumers: of the follower and, in turns, of a loop of the bare libraries."""
    facts = bench.size(50_000, 2_000)
    for first in range(0, facts, BATCH):
        await service.append(records=make_heartbeats(first, BATCH))
    variants: dict[str, Variant] = {
        "ours": lambda number: _follow(follower, f"ours-{number}", facts),
        f"{libraries}, same batches": lambda number: asyncio.to_thread(read, f"bare-{number}", facts),
    }
    return await measure_in_turns(variants, rounds=bench.size(5, 1), warm_up=False)


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
    return timer.fact_s


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
    return timer.fact_s


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
    return timer.fact_s


def _value(message: Any) -> bytes:
    return message.value() or b""


class _Timer:
    """Measures from the first batch on: joining a group takes seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start_s = 0.0
        self._first = self._count = 0
        self.fact_s = 0.0

    def count(self, facts: int) -> bool:
        """Count a batch; return whether it was the last."""
        now_s = time.perf_counter()
        if not self._count:
            self._start_s, self._first = now_s, facts
        self._count += facts
        self.fact_s = (now_s - self._start_s) / max(1, self._count - self._first)
        return self._count >= self._total
