"""Every cache engine, through its client: values for a limited time, and failures that only cost values."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.cache_rig import Clients, PrivateEngines, private_engines, wait_for
from tests.engines import shared_engine, slow_proxy, unique_name

from matinee.drivers.cache import CacheClient
from matinee.drivers.cache.memcached import MemcachedCache
from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.memcached import Memcached, build_get

KINDS = ("memory", "redis", "memcached", "ring")
HOUR_MS = 3_600_000
# Short enough that calls of a hanging engine time out, long enough for a healthy engine on a loaded machine.
TIMEOUT_MS = 500
KEYS = [f"k{number}" for number in range(40)]


@pytest.fixture(scope="module")
def ring_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngines]:
    with private_engines("ring", tmp_path_factory.mktemp("ring")) as engines:
        yield engines


@pytest.fixture(scope="module")
def single_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PrivateEngines]]:
    folder = tmp_path_factory.mktemp("engines")
    with private_engines("redis", folder) as redis, private_engines("memcached", folder) as memcached:
        yield {"redis": redis, "memcached": memcached}


@pytest.fixture(params=["redis", "memcached", "ring"])
def engines(
    request: pytest.FixtureRequest, ring_engines: PrivateEngines, single_engines: dict[str, PrivateEngines]
) -> Iterator[PrivateEngines]:
    """Engines that the test may kill."""
    engines = {**single_engines, "ring": ring_engines}[request.param]
    yield engines
    engines.restore()


@pytest.fixture
def ring(ring_engines: PrivateEngines) -> Iterator[PrivateEngines]:
    yield ring_engines
    ring_engines.restore()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=KINDS)
async def clients(request: pytest.FixtureRequest, stack: AsyncExitStack) -> Clients:
    match request.param:
        case "memory":
            return Clients("memory://", stack)
        case "ring":
            return Clients(request.getfixturevalue("ring").url, stack)
        case kind:
            return Clients(shared_engine(kind).url("cache"), stack)


@pytest.fixture
async def failing(engines: PrivateEngines, stack: AsyncExitStack) -> Clients:
    """Clients of engines that the test may kill."""
    return Clients(engines.url, stack)


@pytest.fixture
async def zones(ring: PrivateEngines, stack: AsyncExitStack) -> Clients:
    """Clients of a ring that the test may kill."""
    return Clients(ring.url, stack)


async def test_a_value_is_returned_to_all_processes(clients: Clients) -> None:
    one, other = await clients.open(), await clients.open()
    assert await other.get("a") is None
    assert await one.put("a", b"1", ttl_ms=HOUR_MS)
    assert [await client.get("a") for client in (one, other)] == [b"1", b"1"]
    assert await other.put("a", b"2", ttl_ms=HOUR_MS)
    assert [await client.get("a") for client in (one, other)] == [b"2", b"2"]
    counts = [clients.count_keys(other, outcome) for outcome in ("miss", "hit", "stored")]
    assert (counts, clients.count_calls(other, "done")) == ([1, 2, 1], 4)


@pytest.mark.parametrize("key", ["with space", "ünï\ncode", "x" * 180, "x" * 400, "a:b", "#", ""])
async def test_any_text_is_a_key(clients: Clients, key: str) -> None:
    client = await clients.open()
    assert await client.put(f"{key}y", b"other", ttl_ms=HOUR_MS)
    assert await client.put(key, b"1", ttl_ms=HOUR_MS)
    assert (await client.get(key), await client.get(f"{key}y")) == (b"1", b"other")


@pytest.mark.parametrize("value", [b"", bytes(range(256)) * 400, b"END\r\nHD\r\n"])
async def test_any_bytes_are_a_value(clients: Clients, value: bytes) -> None:
    client = await clients.open()
    assert await client.put("a", value, ttl_ms=HOUR_MS)
    assert await client.get("a") == value


async def test_a_value_expires(clients: Clients) -> None:
    client = await clients.open()
    await client.put("a", b"1", ttl_ms=HOUR_MS)
    await client.put("b", b"1", ttl_ms=1_000)
    await wait_for(None, lambda: client.get("b"))
    assert await client.get("a") == b"1"
    await client.put("a", b"2", ttl_ms=1_000)
    await wait_for(None, lambda: client.get("a"))


async def test_a_value_that_is_too_large_is_not_stored(clients: Clients) -> None:
    client = await clients.open()
    limit = client.engine.max_value_bytes
    assert not await client.put("a", bytes(limit + 1), ttl_ms=HOUR_MS)
    assert await client.put("b", bytes(limit), ttl_ms=HOUR_MS)
    assert [len(await client.get(key) or b"") for key in ("a", "b")] == [0, limit]
    assert clients.count_keys(client, "too_large") == 1


@pytest.mark.parametrize("failure", ["killed", "paused"])
async def test_without_the_engine_calls_are_skipped_until_it_is_back(
    engines: PrivateEngines, failing: Clients, failure: str
) -> None:
    client = await failing.open(timeout_ms=TIMEOUT_MS)
    assert await client.put("a", b"1", ttl_ms=HOUR_MS)
    for process in engines.processes:
        process.kill() if failure == "killed" else process.pause()
    await wait_for(False, lambda: client.put("a", b"1", ttl_ms=HOUR_MS))  # it may answer before the signal
    for _ in range(200):
        assert await client.get("a") is None
        assert not await client.put("a", b"2", ttl_ms=HOUR_MS)
    assert failing.count_calls(client, "skipped") >= 300
    with pytest.raises(EngineUnavailable):
        await client.engine.check()
    for process in engines.processes:
        process.start() if failure == "killed" else process.resume()
    await wait_for(True, lambda: client.put("a", b"3", ttl_ms=HOUR_MS))
    await wait_for(b"3", lambda: client.get("a"))
    await client.engine.check()


async def test_an_engine_that_starts_after_the_client_is_used(engines: PrivateEngines, failing: Clients) -> None:
    for process in engines.processes:
        process.kill()
    client = await failing.open(timeout_ms=TIMEOUT_MS)
    assert await client.get("a") is None
    for process in engines.processes:
        process.start()
    await wait_for(True, lambda: client.put("a", b"1", ttl_ms=HOUR_MS))
    await wait_for(b"1", lambda: client.get("a"))


@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_calls_of_a_slow_engine_time_out_and_are_then_skipped(kind: str, stack: AsyncExitStack) -> None:
    async with slow_proxy(shared_engine(kind).url("cache")) as proxy:
        clients = Clients(proxy.url, stack)
        client = await clients.open(timeout_ms=200)
        await wait_for(True, lambda: client.put("a", b"1", ttl_ms=HOUR_MS))
        proxy.delay_s = 2.0
        for _ in range(100):
            assert await client.get("a") is None
        assert clients.count_calls(client, "skipped") >= 50
        assert clients.count_calls(client, "failed") >= 3
        proxy.delay_s = 0
        await wait_for(b"1", lambda: client.get("a"))


@pytest.mark.parametrize("answer", [b"\0\xff" * 50 + b"\r\n", b"VA x\r\n", b"VA 5 t1\r\nabc", b"HD\r\n" * 9, b"\r\n"])
@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_garbage_from_the_engine_counts_as_a_failure(kind: str, answer: bytes, stack: AsyncExitStack) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"VERSION 1.6.40\r\n" if line.startswith(b"version") else answer)
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
    clients = Clients(f"{kind}://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", stack)
    client = await clients.open(timeout_ms=200)
    for _ in range(5):
        assert await client.get("a") is None
    assert clients.count_keys(client, "hit") == 0


async def test_without_one_zone_the_other_serves(ring: PrivateEngines, zones: Clients) -> None:
    client = await zones.open(timeout_ms=2_000)
    await put_all(client, b"1")
    for host in ring.processes[:2]:
        host.kill()
    assert await get_all(client) == {b"1"}
    await put_all(client, b"2")
    assert await get_all(client) == {b"2"}
    assert await get_all(await zones.open(url=ring.url_near("b"))) == {b"2"}
    assert zones.count_calls(client, "failed") == 0


async def test_a_value_that_the_near_host_lacks_is_copied_with_its_time(ring: PrivateEngines, zones: Clients) -> None:
    client = await zones.open()
    await put_all(client, b"1")
    hosts = [await open_host(name, zones) for name in ring.names[:2]]
    for host in hosts:
        for key in KEYS:
            await host.request(f"md {ring.namespace}:{key}\r\n".encode())
    assert await get_all(client) == {b"1"}
    await wait_for(len(KEYS), lambda: count_values(ring, *hosts))
    for process in ring.processes[2:]:
        process.kill()
    assert await get_all(await zones.open(timeout_ms=2_000)) == {b"1"}


async def test_a_host_that_restarts_empty_is_warmed_by_one_process(ring: PrivateEngines, zones: Clients) -> None:
    clients = [await zones.open(url=ring.url_near("b"), timeout_ms=2_000) for _ in range(2)]
    for client in clients:
        await put_all(client, b"1")
    await wait_for(False, lambda: is_copying(*clients))
    before = [count_warmed(client) for client in clients]
    own = await count_values(ring, await open_host(ring.names[0], zones))
    assert own > 0
    ring.processes[0].kill()
    ring.processes[0].start()
    cold = await open_host(ring.names[0], zones)
    while [count_warmed(client) for client in clients] == before:
        for client in clients:
            for number in range(20):  # connects to all hosts
                await client.put(f"new{number}", b"2", ttl_ms=HOUR_MS)
    await wait_for(False, lambda: is_copying(*clients))
    by_none, by_one = sorted(count_warmed(client) - count for client, count in zip(clients, before, strict=True))
    assert by_none == 0
    # Memcached does not list a value while it is read or written.
    assert min(by_one, await count_values(ring, cold)) >= own / 2


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 3), st.integers(0, 1), st.binary(max_size=20)),
    max_size=30,
)


async def test_equals_a_dictionary(clients: Clients) -> None:
    both, loop = [await clients.open() for _ in range(2)], asyncio.get_running_loop()

    async def check(operations: list[tuple[str, int, int, bytes]]) -> None:
        name, plain = unique_name("run"), dict[str, bytes]()
        for operation, number, process, value in operations:
            key = f"{name}:{number}"
            if operation == "put":
                plain[key] = value
                assert await both[process].put(key, value, ttl_ms=HOUR_MS)
            assert await both[process].get(key) == plain.get(key)

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(OPERATIONS)
    def run(operations: list[tuple[str, int, int, bytes]]) -> None:
        asyncio.run_coroutine_threadsafe(check(operations), loop).result()

    await asyncio.to_thread(run)


async def put_all(client: CacheClient, value: bytes) -> None:
    for key in KEYS:
        assert await client.put(key, value, ttl_ms=HOUR_MS)


async def get_all(client: CacheClient) -> set[bytes | None]:
    return {await client.get(key) for key in KEYS}


async def open_host(name: str, clients: Clients) -> Memcached:
    """Open one host of a ring directly."""
    address, _, port = name.rpartition(":")
    host = Memcached(address, int(port), connect_s=10)
    clients.stack.callback(host.close)
    return host


async def count_values(ring: PrivateEngines, *hosts: Memcached) -> int:
    """Count the values of `KEYS` on hosts that have more than half of their time left."""
    replies = [await host.request(build_get(f"{ring.namespace}:{key}")) for host in hosts for key in KEYS]
    return sum(reply.code == b"VA" and reply.ttl_s > HOUR_MS / 2000 for reply in replies)


def get_ring(client: CacheClient) -> MemcachedCache:
    assert isinstance(client.engine, MemcachedCache)
    return client.engine


async def is_copying(*clients: CacheClient) -> bool:
    return any(get_ring(client).is_copying for client in clients)


def count_warmed(client: CacheClient) -> int:
    return get_ring(client).warmed
