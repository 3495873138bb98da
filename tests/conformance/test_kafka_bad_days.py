"""Kafka absent, killed, hanging, slow, cut off, grown, written to by a newer Matinee: what becomes of the log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from tests.conformance.event_rig import NOW, PARTITIONS, opened, place, record
from tests.conformance.test_dead_letters import letter, plant, waiting
from tests.conformance.test_event_log import everything, lanes, names
from tests.conformance.test_following import Seen, committed, followed, many
from tests.engines import SlowProxy, unique_name

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.kafka import Cluster, Message, Partition, Producer, Reader, Span
from matinee.events.api import ConsumerInUse, FactRecord
from matinee.kit import context
from matinee.kit.problem import TooLarge
from matinee.lab.engines import Place, Running
from matinee.lab.engines.kafka import Kafka

KEYS = 4


class Proxied(Kafka):
    """A broker that also tells its clients to come by way of a proxy, when that is how they came."""

    ports = (*Kafka.ports, "inner", "proxy")

    def prepare(self, place: Place) -> None:
        super().prepare(place)
        config = place.folder / "server.properties"
        lines = config.read_text().splitlines()
        more = {
            "listeners=": f",PROXIED://{place.host}:{place.ports['inner']}",
            "advertised.listeners=": f",PROXIED://{place.host}:{place.ports['proxy']}",
            "listener.security.protocol.map=": ",PROXIED:PLAINTEXT",
        }
        config.write_text(
            "\n".join(line + next((v for k, v in more.items() if line.startswith(k)), "") for line in lines)
        )

    def proxied(self, place: Place, port: str) -> str:
        """The URL by way of a port."""
        return f"kafka://{place.host}:{place.ports[port]}/{unique_name('slow')}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A broker of our own, to be ill-treated."""
    with Running(Proxied(), tmp_path_factory.mktemp("kafka")) as running:
        yield running


@contextlib.asynccontextmanager
async def by_proxy(broker: Running) -> AsyncIterator[tuple[str, SlowProxy]]:
    """A log's URL through a proxy, and the proxy."""
    engine = Proxied()
    proxy = SlowProxy(engine.proxied(broker.place, "inner"))
    server = await asyncio.start_server(proxy.serve, broker.place.host, broker.place.ports["proxy"])
    try:
        yield engine.proxied(broker.place, "proxy"), proxy
    finally:
        server.close()
        proxy.disconnect()


async def write(log: object, lane: int, acknowledged: list[FactRecord], ending: asyncio.Event) -> None:
    """Append one fact after another, each until it is acknowledged, as a relay does."""
    n = 0
    while not ending.is_set():
        one = record(f"{lane}.{n}", key=f"k{lane}")
        with contextlib.suppress(EngineUnavailable):
            await log.append([one], now=NOW)  # type: ignore[attr-defined]
            acknowledged.append(one)
            n += 1


def test_a_broker_that_is_absent_is_said_to_be_away_and_is_there_when_it_comes(broker: Running) -> None:
    where = broker.url(unique_name("late"))

    async def look() -> None:
        with context.with_timeout(1500):
            async with opened(where) as here:
                await here.log.append([record("a")], now=NOW)

    broker.stop()
    with pytest.raises(EngineUnavailable):
        asyncio.run(look())
    broker.start()
    asyncio.run(asyncio.wait_for(patiently(where), 60))


async def patiently(where: str) -> None:
    while True:
        with contextlib.suppress(EngineUnavailable):
            async with opened(where) as here:
                await here.log.append([record("a")], now=NOW)
                assert names(await everything(here.log)) == ["a"]
                return


async def test_what_was_acknowledged_survives_the_broker_s_death_and_followers_go_on(broker: Running) -> None:
    where, seen = broker.url(unique_name("killed")), Seen()
    acknowledged: list[FactRecord] = []
    ending = asyncio.Event()
    async with opened(where) as here, followed(here, seen.handle):
        writing = [asyncio.create_task(write(here.log, lane, acknowledged, ending)) for lane in range(KEYS)]
        await seen.until(lambda: len(seen.records) > 20)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.start)
        before = len(acknowledged)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 40:  # noqa: ASYNC110 — nothing tells of an append
                await asyncio.sleep(0.1)
        ending.set()
        await asyncio.gather(*writing)
        await seen.until(lambda: set(names(acknowledged)) <= set(seen.names))
        found = await everything(here.log)
        await committed(here)
    assert set(names(acknowledged)) <= set(names(found))
    for (_, key), there in lanes(found).items():
        last = list(dict.fromkeys(reversed(there)))[::-1]  # the last copy of each
        assert last == [f"{key[1:]}.{n}" for n in range(len(last))]


async def test_a_broker_that_hangs_is_not_waited_for_longer_than_the_deadline(broker: Running) -> None:
    async with opened(broker.url(unique_name("hung"))) as here:
        await here.log.append([record("a")], now=NOW)
        broker.pause()
        try:
            for call in (
                lambda: here.log.append([record("b")], now=NOW),
                here.log.head,
                lambda: here.log.read(after="", limit=5, types=()),
                lambda: here.log.get_committed("home"),
            ):
                with context.with_timeout(500), pytest.raises(EngineUnavailable):
                    await asyncio.wait_for(call(), 60)
        finally:
            broker.resume()
        async with asyncio.timeout(30):
            while "c" not in names(await everything(here.log)):
                with contextlib.suppress(EngineUnavailable):
                    await here.log.append([record("c")], now=NOW)


async def test_who_leaves_does_not_wait_for_a_broker_that_hangs(broker: Running) -> None:
    seen = Seen()
    async with opened(broker.url(unique_name("left"))) as here:
        async with followed(here, seen.handle):
            await here.log.append(many(0, 20), now=NOW)
            await seen.until(lambda: len(seen.records) == 20)
            broker.pause()
        broker.resume()


async def test_a_broker_that_comes_back_without_its_data_gets_its_topics_again(broker: Running) -> None:
    seen = Seen()
    async with opened(broker.url(unique_name("emptied"))) as here, followed(here, seen.handle):
        await here.log.append(many(0, 20), now=NOW)
        await seen.until(lambda: len(seen.records) == 20)
        await asyncio.to_thread(broker.stop)
        (broker.place.folder / "formatted").unlink()
        await asyncio.to_thread(broker.start)
        async with asyncio.timeout(60):
            while "after" not in seen.names:
                with contextlib.suppress(EngineUnavailable), context.with_timeout(3000):
                    await here.log.check()  # type: ignore[attr-defined]
                    await here.log.append([record("after")], now=NOW)
                await asyncio.sleep(0.2)
        assert set(names(await everything(here.log))) == {"after"}


async def test_a_slow_road_makes_things_slow_and_a_cut_one_ends_when_it_is_mended(broker: Running) -> None:
    async with by_proxy(broker) as (where, road), opened(where) as here:
        road.delay_s = 0.3
        await here.log.append(many(0, 20), now=NOW)
        assert len(await everything(here.log)) == 20
        with context.with_timeout(100), pytest.raises(EngineUnavailable):
            await here.log.append([record("hasty")], now=NOW)
        road.delay_s = 0.0
        seen = Seen()
        async with followed(here, seen.handle):
            await seen.until(lambda: len(seen.records) >= 20)
            road.disconnect()
            with context.with_timeout(300), pytest.raises(EngineUnavailable):
                await here.log.append([record("lost")], now=NOW)
            road.restore()
            await here.log.append([record("after")], now=NOW)
            await seen.until(lambda: "after" in seen.names)


async def test_a_cursor_outlives_more_partitions(tmp_path: Path) -> None:
    where = place("kafka", tmp_path)
    async with opened(where) as here:
        await here.log.append(many(0, 30, keys=30), now=NOW)
        batch = await here.log.read(after="", limit=100, types=())
        grow(where, PARTITIONS * 4)
        more = many(30, 60, keys=60)
        async with opened(where) as there:
            await there.log.append(more, now=NOW)
            found = await everything(there.log, after=batch.cursor)
        assert sorted(names(found)) == sorted(names(more))


def grow(where: str, count: int) -> None:
    cluster = Cluster(where)
    admin = AdminClient(cluster.settings())
    for future in admin.create_partitions([NewPartitions(cluster.name("AccountOpened"), count)]).values():
        future.result()


async def test_what_a_newer_version_wrote_is_passed_over(tmp_path: Path) -> None:
    where, seen = place("kafka", tmp_path), Seen()
    cluster = Cluster(where)
    known = msgspec.json.encode(record("known"))
    richer = known.replace(b'"account_id"', b'"mood":"fine","account_id"')
    stranger = known.replace(b"AccountOpened", b"MoonLanded")
    async with opened(where) as here, Producer(cluster) as producer:
        topic = cluster.name("AccountOpened")
        await producer.send([Message(topic, "k", value, [], 0) for value in (stranger, richer, b"{", known)])
        batch = await here.log.read(after="", limit=10, types=())
        assert [e.record for e in batch.entries] == [record("known")] * 2
        assert (await here.log.read(after=batch.cursor, limit=10, types=())).entries == []
        async with followed(here, seen.handle):
            await seen.until(lambda: len(seen.records) == 2)
            await committed(here)
        with pytest.raises(TooLarge):
            await producer.send([Message(topic, "k", b"x" * 2_000_000, [], 0)])


async def test_what_is_no_dead_letter_is_passed_over(tmp_path: Path) -> None:
    where, seen = place("kafka", tmp_path), Seen()
    async with opened(where) as here:
        await here.dead.add_dead_letter(letter("a"))
        for garbage in (b"{", b"[]", b""):
            await plant(where, garbage)
        assert await waiting(here.dead) == ["a"]
        await here.events.retry_dead_letters()
        async with followed(here, seen.handle):
            await seen.until(lambda: seen.names == ["a"])
            await committed(here)


async def test_a_place_cannot_be_set_under_those_who_follow(tmp_path: Path) -> None:
    async with opened(place("kafka", tmp_path)) as here:
        seen = Seen()
        await here.log.append([record("a")], now=NOW)
        async with followed(here, seen.handle):
            await seen.until(lambda: len(seen.records) == 1)
            with pytest.raises(ConsumerInUse):
                await here.events.commit(consumer="test", cursor=await here.events.get_head())


async def test_keys_lie_by_region_and_profile(tmp_path: Path) -> None:
    where = place("kafka", tmp_path)
    cluster = Cluster(where)
    async with opened(where) as here:
        await here.log.append(many(0, 40), now=NOW)
        partitions = [Partition(cluster.name("AccountOpened"), number) for number in range(PARTITIONS)]
        reader = Reader(cluster)
        ends = await cluster.ends(partitions)
        found = await reader.fetch([Span(p, 0, end) for p, end in ends.items()], 100)
        await reader.close()
    lying = {(message.key, message.partition) for message in found}
    assert {key for key, _ in lying} == {f"here/k{n}".encode() for n in range(5)}
    assert len(lying) == 5
    assert cluster.engine.startswith("kafka at 127.0.0.1:")
