"""Appending facts to Kafka and following them, beside the bare producer with the same settings."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit

import confluent_kafka
import msgspec

from matinee.drivers.asgi import Server
from matinee.drivers.http import HttpClient
from matinee.drivers.metrics import Metrics
from matinee.events.adapters.kafka import KafkaEventLog
from matinee.events.api import Entry, Events, FactRecord, PlaybackHeartbeat, type_name
from matinee.events.service import EventsService
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId, generate
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.followers import PARTITIONS, make_heartbeats, measure_kafka, measure_sqlite
from matinee.lab.bench.harness import Bench, time_in_turns
from matinee.mesh.adapters.memory import MemoryRegistry
from matinee.mesh.api import Instance
from matinee.mesh.client import MeshClient, bind_remote
from matinee.mesh.host import Host
from matinee.mesh.membership import Directory
from matinee.mesh.service import Services

GOAL = 2.0  # twice the time of the bare producer
BATCH, IN_FLIGHT = 100, 8
INTERVAL_S, LIMIT_S = 0.01, 30


async def measure(bench: Bench) -> None:
    """Measure; takes about two minutes."""
    url = bench.open_engine("kafka")
    log = await bench.stack.enter_async_context(
        KafkaEventLog.open(url, region="bench", partitions=PARTITIONS, replication=1)
    )
    service = EventsService(log=log, dead_letters=log, leases=None, clock=SystemClock())
    remote, bare = await _serve_over_http(service, bench.stack), _BareProducer(url)
    producer, by_service, by_http = await time_in_turns(
        {
            "bare producer, same settings": lambda n: bare.send(make_heartbeats(n * BATCH, BATCH)),
            "service": lambda n: service.append(records=make_heartbeats(n * BATCH, BATCH)),
            "HTTP": lambda n: remote.append(records=make_heartbeats(n * BATCH, BATCH)),
        },
        count=bench.size(100, 4),
        in_flight=IN_FLIGHT,
        rounds=bench.size(5, 1),
        parts=BATCH,
    )
    bench.report("append a fact: service", by_service, "µs", baseline=producer, max_ratio=GOAL)
    bench.report("append a fact: HTTP", by_http, "µs", baseline=producer, max_ratio=GOAL)
    ages_s = await _measure_ages_s(log, remote, bench.size(300, 20))
    bench.report("HTTP batch to consumer: median", Samples(ages_s), "ms")
    bench.report("HTTP batch to consumer: p99", Samples([ages_s[int(len(ages_s) * 0.99)]]), "ms")
    await measure_sqlite(bench)
    await measure_kafka(bench, f"{url}_follow")


async def _measure_ages_s(log: KafkaEventLog, remote: Events, count: int) -> list[float]:
    """Return the sorted ages of facts when a follower received them, sent one by one at an even pace."""
    ages: list[float] = []
    start = await log.get_head()

    async def handle(entries: list[Entry]) -> None:
        ages.extend((datetime.now(UTC) - entry.record.at).total_seconds() for entry in entries)

    following = asyncio.create_task(
        log.follow("bench", (type_name(PlaybackHeartbeat),), start=start, handle=handle, max_batch=500, max_wait_ms=0)
    )
    try:
        await _wait_for_follower(remote, ages)
        ages.clear()
        for number in range(count):
            await remote.append(records=make_heartbeats(number, 1))
            await asyncio.sleep(INTERVAL_S)
        async with asyncio.timeout(LIMIT_S):
            while len(ages) < count:  # noqa: ASYNC110  # another task adds to them
                await asyncio.sleep(INTERVAL_S)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return sorted(ages)


async def _wait_for_follower(remote: Events, ages: list[float]) -> None:
    while not ages:
        await remote.append(records=make_heartbeats(0, 1))
        await asyncio.sleep(0.5)
    await asyncio.sleep(1)  # until the facts above have arrived


async def _serve_over_http(service: EventsService, stack: AsyncExitStack) -> Events:
    """Serve the service on a port, and return a client of it through the mesh; both are in this process."""
    clock, registry, key = SystemClock(), MemoryRegistry(), os.urandom(16).hex()
    metrics = Metrics()
    host = Host(key=key, clock=clock, metrics=metrics, services=[Services(metrics).add("events", Events, service)])
    server = await stack.enter_async_context(Server(host))
    instance = Instance(instance_id=generate(InstanceId, clock.now()), address=server.address, services=("events",))
    await registry.register(instance=instance, lease_s=600, now=clock.now())
    directory = Directory(registry=registry, clock=clock)
    await directory.refresh()
    http = await stack.enter_async_context(HttpClient())
    caller = MeshClient(http=http, directory=directory, key=key, rng=Random(), limit_ms=30_000)  # noqa: S311  # spreads load
    client: Events = bind_remote(Events, "events", caller, caller="bench")
    return client


class _BareProducer:
    """The library with the same settings and bytes, awaited batch by batch."""

    def __init__(self, url: str) -> None:
        self._topic = f"{urlsplit(url).path.strip('/')}.{type_name(PlaybackHeartbeat)}"
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": urlsplit(url).netloc,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 2,
                "partitioner": "murmur2_random",
            }
        )

    async def send(self, records: list[FactRecord]) -> None:
        """Store a batch durably."""
        loop, left = asyncio.get_running_loop(), len(records)
        done: asyncio.Future[None] = loop.create_future()

        def on_delivery(error: Any, _message: Any) -> None:
            nonlocal left
            left -= 1
            if error is not None and not done.done():
                done.set_exception(RuntimeError(str(error)))
            elif left == 0 and not done.done():
                done.set_result(None)

        for record in records:
            self._producer.produce(self._topic, msgspec.json.encode(record), record.key, on_delivery=on_delivery)
        while not done.done():
            self._producer.poll(0)
            await asyncio.sleep(0.001)
        done.result()
