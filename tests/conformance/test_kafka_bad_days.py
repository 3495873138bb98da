"""The log while Kafka is absent, killed, hanging, slow, disconnected, grown, or written by a newer Matinee."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from tests.conformance.event_rig import (
    NOW,
    PARTITIONS,
    LogView,
    Recorder,
    following,
    make_record,
    make_records,
    names,
    new_log_url,
    open_log,
    wait_committed,
)
from tests.conformance.test_dead_letters import find, make_letter, store_raw_letter
from tests.conformance.test_event_log import order_by_key, read_all
from tests.engines import SlowProxy, unique_name

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kafka import Cluster, Message, OffsetRange, Partition, Producer, Reader
from matinee.events.api import ConsumerInUse, FactRecord
from matinee.events.ports import EventLog
from matinee.kit import context
from matinee.kit.problem import TooLarge
from matinee.lab.engines import Engine, EngineProcess
from matinee.lab.engines.kafka import KAFKA

KEYS = 4


def describe_proxied_kafka() -> Engine:
    """Return a broker with a second listener that advertises the address of a proxy."""
    config = KAFKA.files["server.properties"]
    for start, more in (
        ("\nlisteners=", "PROXIED://{host}:{inner},"),
        ("\nadvertised.listeners=", "PROXIED://{host}:{proxy},"),
        ("\nlistener.security.protocol.map=", "PROXIED:PLAINTEXT,"),
    ):
        config = config.replace(start, start + more)
    return msgspec.structs.replace(KAFKA, ports=(*KAFKA.ports, "inner", "proxy"), files={"server.properties": config})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A broker that tests may kill."""
    with EngineProcess(describe_proxied_kafka(), tmp_path_factory.mktemp("kafka")) as running:
        yield running


@contextlib.asynccontextmanager
async def open_when_available(log_url: str) -> AsyncIterator[LogView]:
    """Open a log as soon as the broker answers: it may still recover from the previous test."""
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(300):
        view = None
        while view is None:
            with contextlib.suppress(EngineUnavailable):
                view = await stack.enter_async_context(open_log(log_url))
        yield view


@contextlib.asynccontextmanager
async def open_proxy(broker: EngineProcess) -> AsyncIterator[tuple[str, SlowProxy]]:
    """Start a proxy; yield the URL of a log through it, and the proxy."""
    host, ports = broker.location.host, broker.location.ports
    proxy = SlowProxy(f"kafka://{host}:{ports['inner']}")
    server = await asyncio.start_server(proxy.serve, host, ports["proxy"])
    try:
        yield f"kafka://{host}:{ports['proxy']}/{unique_name('slow')}", proxy
    finally:
        server.close()
        proxy.disconnect()


async def write(log: EventLog, key: int, acknowledged: list[FactRecord], is_ending: asyncio.Event) -> None:
    """Append facts one after another, each until it is acknowledged, as a relay does."""
    n = 0
    while not is_ending.is_set():
        record = make_record(f"{key}.{n}", key=f"k{key}")
        with contextlib.suppress(EngineUnavailable):
            await log.append([record], now=NOW)
            acknowledged.append(record)
            n += 1


def test_an_absent_broker_is_reported_as_unavailable_until_it_starts(broker: EngineProcess) -> None:
    log_url = broker.url(unique_name("late"))

    async def append() -> None:
        with context.with_timeout(1500):
            async with open_log(log_url) as here:
                await here.log.append([make_record("a")], now=NOW)

    broker.stop()
    with pytest.raises(EngineUnavailable):
        asyncio.run(append())
    broker.start()
    asyncio.run(asyncio.wait_for(append_when_available(log_url), 60))


async def append_when_available(log_url: str) -> None:
    while True:
        with contextlib.suppress(EngineUnavailable):
            async with open_log(log_url) as here:
                await here.log.append([make_record("a")], now=NOW)
                assert names(await read_all(here.log)) == ["a"]
                return


async def test_acknowledged_facts_survive_a_killed_broker_and_followers_resume(broker: EngineProcess) -> None:
    log_url, handled = broker.url(unique_name("killed")), Recorder()
    acknowledged: list[FactRecord] = []
    is_ending = asyncio.Event()
    async with open_when_available(log_url) as here, following(here, handled.handle):
        writing = [asyncio.create_task(write(here.log, key, acknowledged, is_ending)) for key in range(KEYS)]
        await handled.wait_until(lambda: len(handled.records) > 20)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.start)
        before = len(acknowledged)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 40:  # noqa: ASYNC110  # appends send no notification
                await asyncio.sleep(0.1)
        is_ending.set()
        await asyncio.gather(*writing)
        await handled.wait_until(lambda: set(names(acknowledged)) <= set(handled.names))
        found = await read_all(here.log)
        await wait_committed(here)
    assert set(names(acknowledged)) <= set(names(found))
    for (_, key), stored in order_by_key(found).items():
        last = list(dict.fromkeys(reversed(stored)))[::-1]  # the last copy of each
        assert last == [f"{key[1:]}.{n}" for n in range(len(last))]


async def test_calls_to_a_hanging_broker_end_at_the_deadline(broker: EngineProcess) -> None:
    async with open_when_available(broker.url(unique_name("hung"))) as here:
        await here.log.append([make_record("a")], now=NOW)
        broker.pause()
        try:
            for call in (
                lambda: here.log.append([make_record("b")], now=NOW),
                here.log.get_head,
                lambda: here.log.read(after="", limit=5, types=()),
                lambda: here.log.get_committed("home"),
            ):
                with context.with_timeout(500), pytest.raises(EngineUnavailable):
                    await asyncio.wait_for(call(), 60)
        finally:
            broker.resume()
        async with asyncio.timeout(30):
            while "c" not in names(await read_all(here.log)):
                with contextlib.suppress(EngineUnavailable):
                    await here.log.append([make_record("c")], now=NOW)


async def test_a_follower_stops_while_the_broker_hangs(broker: EngineProcess) -> None:
    handled = Recorder()
    async with open_when_available(broker.url(unique_name("left"))) as here:
        async with following(here, handled.handle):
            await here.log.append(make_records(0, 20), now=NOW)
            await handled.wait_until(lambda: len(handled.records) == 20)
            broker.pause()
        broker.resume()


async def test_topics_are_created_again_after_the_broker_lost_its_data(broker: EngineProcess) -> None:
    handled = Recorder()
    async with open_when_available(broker.url(unique_name("emptied"))) as here, following(here, handled.handle):
        await here.log.append(make_records(0, 20), now=NOW)
        await handled.wait_until(lambda: len(handled.records) == 20)
        await asyncio.to_thread(broker.stop)
        (broker.location.folder / "formatted").unlink()
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(60):
            while "after" not in handled.names:
                with contextlib.suppress(EngineUnavailable), context.with_timeout(3000):
                    await here.log.check()  # type: ignore[attr-defined]
                    await here.log.append([make_record("after")], now=NOW)
                await asyncio.sleep(0.2)
        assert set(names(await read_all(here.log))) == {"after"}


async def test_a_slow_connection_delays_calls_and_a_lost_one_is_restored(broker: EngineProcess) -> None:
    async with open_proxy(broker) as (log_url, proxy), open_when_available(log_url) as here:
        proxy.delay_s = 0.3
        await here.log.append(make_records(0, 20), now=NOW)
        assert len(await read_all(here.log)) == 20
        with context.with_timeout(100), pytest.raises(EngineUnavailable):
            await here.log.append([make_record("hasty")], now=NOW)
        proxy.delay_s = 0.0
        handled = Recorder()
        async with following(here, handled.handle):
            await handled.wait_until(lambda: len(handled.records) >= 20)
            proxy.disconnect()
            with context.with_timeout(300), pytest.raises(EngineUnavailable):
                await here.log.append([make_record("lost")], now=NOW)
            proxy.restore()
            await here.log.append([make_record("after")], now=NOW)
            await handled.wait_until(lambda: "after" in handled.names)


async def test_a_cursor_stays_valid_when_partitions_are_added(tmp_path: Path) -> None:
    log_url = new_log_url("kafka", tmp_path)
    async with open_log(log_url) as here:
        await here.log.append(make_records(0, 30, keys=30), now=NOW)
        batch = await here.log.read(after="", limit=100, types=())
        add_partitions(log_url, PARTITIONS * 4)
        more = make_records(30, 60, keys=60)
        async with open_log(log_url) as there:
            await there.log.append(more, now=NOW)
            found = await read_all(there.log, after=batch.cursor)
        assert sorted(names(found)) == sorted(names(more))


def add_partitions(log_url: str, count: int) -> None:
    cluster = Cluster(log_url)
    admin = AdminClient(cluster.build_config())
    for future in admin.create_partitions([NewPartitions(cluster.full_name("AccountOpened"), count)]).values():
        future.result()


async def test_facts_of_a_newer_version_are_skipped(tmp_path: Path) -> None:
    log_url, handled = new_log_url("kafka", tmp_path), Recorder()
    cluster = Cluster(log_url)
    known = msgspec.json.encode(make_record("known"))
    with_field = known.replace(b'"account_id"', b'"mood":"fine","account_id"')
    unknown = known.replace(b"AccountOpened", b"MoonLanded")
    async with open_log(log_url) as here, Producer(cluster) as producer:
        topic = cluster.full_name("AccountOpened")
        await producer.send([Message(topic, "k", value, [], 0) for value in (unknown, with_field, b"{", known)])
        batch = await here.log.read(after="", limit=10, types=())
        assert [e.record for e in batch.entries] == [make_record("known")] * 2
        assert (await here.log.read(after=batch.cursor, limit=10, types=())).entries == []
        async with following(here, handled.handle):
            await handled.wait_until(lambda: len(handled.records) == 2)
            await wait_committed(here)
        with pytest.raises(TooLarge):
            await producer.send([Message(topic, "k", b"x" * 2_000_000, [], 0)])


async def test_malformed_dead_letters_are_skipped(tmp_path: Path) -> None:
    log_url, handled = new_log_url("kafka", tmp_path), Recorder()
    async with open_log(log_url) as here:
        await here.dead_letters.add_dead_letter(make_letter("a"))
        for garbage in (b"{", b"[]", b""):
            await store_raw_letter(log_url, garbage)
        assert await find(here.dead_letters) == ["a"]
        await here.events.retry_dead_letters()
        async with following(here, handled.handle):
            await handled.wait_until(lambda: handled.names == ["a"])
            await wait_committed(here)


async def test_a_cursor_cannot_be_committed_while_a_follower_runs(tmp_path: Path) -> None:
    async with open_log(new_log_url("kafka", tmp_path)) as here:
        handled = Recorder()
        await here.log.append([make_record("a")], now=NOW)
        async with following(here, handled.handle):
            await handled.wait_until(lambda: len(handled.records) == 1)
            with pytest.raises(ConsumerInUse):
                await here.events.commit(consumer="test", cursor=await here.events.get_head())


async def test_messages_are_keyed_by_region_and_key(tmp_path: Path) -> None:
    log_url = new_log_url("kafka", tmp_path)
    cluster = Cluster(log_url)
    async with open_log(log_url) as here:
        await here.log.append(make_records(0, 40), now=NOW)
        partitions = [Partition(cluster.full_name("AccountOpened"), number) for number in range(PARTITIONS)]
        reader = Reader(cluster)
        ends = await cluster.fetch_end_offsets(partitions)
        found = await reader.fetch([OffsetRange(p, 0, end) for p, end in ends.items()], 100)
        await reader.close()
    placed = {(message.key, message.partition) for message in found}
    assert {key for key, _ in placed} == {f"here/k{n}".encode() for n in range(5)}
    assert len(placed) == 5
    assert cluster.engine.startswith("kafka at 127.0.0.1:")
