"""OpenSearch that fails, and what builds of an index leave behind."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.engines import private_engine, shared_engine

from matinee.drivers.authority import CertificateAuthority
from matinee.drivers.engine import EngineUnavailable, StoreFull, WrongVersion
from matinee.drivers.opensearch import OpenSearch
from matinee.kit import context
from matinee.kit.clock import ManualClock
from matinee.kit.problem import DeadlineExceeded
from matinee.lab.engines import EngineProcess
from matinee.lab.engines.location import free_ports
from matinee.search.adapters.opensearch import OpenSearchIndex
from matinee.search.adapters.opensearch_documents import encode_documents
from matinee.search.adapters.opensearch_lock import LOCK_S
from matinee.search.api import IndexBeingBuilt, IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import VERSION
from matinee.search.ports import NameQuery

NOW = ManualClock().now()
QUERY = NameQuery(forms=("dark",), territory="DE", maturity=18, now=NOW, limit=10)
DARK = NameDocument("tit_1", "title", "Dark", "dark", "en")
DEADLINE_MS = 700
# For what a busy machine does after a deadline.
GRACE_S = 5.0


async def build(index: OpenSearchIndex) -> None:
    new = await index.begin(now=NOW)
    await new.put({"tit_1": [DARK]})
    await new.finish()


@pytest.fixture
async def opensearch() -> AsyncIterator[OpenSearch]:
    async with OpenSearch(shared_engine("opensearch").url("search")) as opensearch:
        yield opensearch


async def list_indexes(opensearch: OpenSearch) -> list[str]:
    return sorted(await opensearch.request("GET", f"/{opensearch.namespace}-search-{VERSION}-*/_alias"))


class Searching:
    """A search after another until `stop`, each with a deadline. Its problems are counted, other errors raised."""

    def __init__(self, index: OpenSearchIndex) -> None:
        self._index = index
        self._is_stopped = False
        self.found, self.failed, self.longest_s = 0, 0, 0.0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._is_stopped:
            started_s = time.monotonic()
            try:
                with context.with_timeout(DEADLINE_MS):
                    assert await self._index.find(QUERY) == [DARK]
                self.found += 1
            except (EngineUnavailable, DeadlineExceeded):
                self.failed += 1
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)

    async def wait_for_answers(self) -> None:
        count = self.found
        while self.found < count + 3:
            assert not self.task.done(), await self.task
            await asyncio.sleep(0.01)

    async def wait_for_failures(self) -> None:
        count = self.failed
        while self.failed < count + 3:
            assert not self.task.done(), await self.task
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._is_stopped = True
        await self.task


@pytest.mark.timeout(300)
async def test_searches_fail_within_their_deadline_while_opensearch_is_away_and_then_answer_again(
    tmp_path: Path,
) -> None:
    running = private_engine("opensearch", tmp_path)
    assert isinstance(running, EngineProcess)
    with running:
        async with OpenSearch(running.url("search")) as opensearch:
            index = OpenSearchIndex(opensearch, ManualClock())
            await build(index)
            searching = [Searching(index) for _ in range(4)]
            for each in searching:
                await each.wait_for_answers()

            await asyncio.to_thread(running.pause)
            for each in searching:
                await each.wait_for_failures()
            running.resume()
            for each in searching:
                await each.wait_for_answers()

            await asyncio.to_thread(running.kill)
            for each in searching:
                await each.wait_for_failures()
            with pytest.raises(EngineUnavailable):
                await opensearch.check()
            with pytest.raises(EngineUnavailable):
                await index.describe()
            await asyncio.to_thread(running.start)
            for each in searching:
                await each.wait_for_answers()
                await each.stop()
                assert each.longest_s < DEADLINE_MS / 1000 + GRACE_S
            await opensearch.check()
            assert (await index.describe()).documents == 1


async def test_another_node_answers_where_one_does_not() -> None:
    port = free_ports(("client",))["client"]
    url = shared_engine("opensearch").url("search").replace("opensearch://", f"opensearch://127.0.0.1:{port},")
    async with OpenSearch(url) as opensearch:
        for _ in range(6):  # each node is the first one for some
            assert "nodes" in await opensearch.request("GET", "/_nodes", repeat=True)


async def test_a_call_after_the_deadline_is_not_sent(opensearch: OpenSearch) -> None:
    with context.with_timeout(0), pytest.raises(DeadlineExceeded):
        await opensearch.request("GET", "/")


async def test_a_server_that_is_not_opensearch_is_named() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with OpenSearch(f"opensearch://127.0.0.1:{port}") as opensearch:
            with pytest.raises(WrongVersion, match="not OpenSearch"):
                await opensearch.check()


async def test_credentials_are_sent_by_tls_to_servers_of_the_authority_only(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    now = datetime.now(UTC)
    for name in ("ours", "theirs"):
        (folder := tmp_path / name).mkdir()
        authority = CertificateAuthority.open(folder, now)
        authority.issue("server", ["127.0.0.1"], now)
        (folder / "ca.crt").write_text(authority.certificate_pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "ours" / "server.pem")
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        address = f"me:s%40crt@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with OpenSearch(f"opensearch://{address}?ca={tmp_path}/theirs/ca.crt") as opensearch:
            with pytest.raises(EngineUnavailable, match="certificate"):
                await opensearch.check()
        assert received == []
        async with OpenSearch(f"opensearch://{address}?ca={tmp_path}/ours/ca.crt") as opensearch:
            with pytest.raises(EngineUnavailable, match="denies access"):
                await opensearch.check()
    assert b"Basic " + base64.b64encode(b"me:s@crt") in received[0]


async def test_builders_exclude_one_another_and_the_lock_of_a_dead_one_expires(opensearch: OpenSearch) -> None:
    clock = ManualClock()
    dead, other, third = (OpenSearchIndex(opensearch, clock) for _ in range(3))
    left = await dead.begin(now=NOW)  # and its process is killed
    await left.put({"tit_1": [DARK]})
    clock.advance(seconds=LOCK_S - 1)
    with pytest.raises(IndexBeingBuilt):
        await other.begin(now=NOW)
    clock.advance(seconds=2)
    new = await other.begin(now=NOW)
    with pytest.raises(IndexBeingBuilt):
        await third.begin(now=NOW)
    assert len(await list_indexes(opensearch)) == 2
    await new.put({"tit_1": [DARK]})
    await new.finish()
    assert len(await list_indexes(opensearch)) == 1
    assert await third.find(QUERY) == [DARK]


async def test_a_build_goes_on_for_longer_than_the_lock(opensearch: OpenSearch) -> None:
    clock = ManualClock()
    index, other = OpenSearchIndex(opensearch, clock), OpenSearchIndex(opensearch, clock)
    new = await index.begin(now=NOW)
    for number in range(10):
        clock.advance(seconds=LOCK_S * 0.7)
        await new.put({f"tit_{number}": [DARK]})
        with pytest.raises(IndexBeingBuilt):
            await other.begin(now=NOW)
    await new.finish()
    assert (await other.describe()).documents == 10


async def test_a_builder_whose_lock_expired_changes_nothing(opensearch: OpenSearch) -> None:
    clock = ManualClock()
    slow, other = OpenSearchIndex(opensearch, clock), OpenSearchIndex(opensearch, clock)
    late = await slow.begin(now=NOW)
    clock.advance(seconds=LOCK_S + 1)
    new = await other.begin(now=NOW)
    for step in (late.put({"tit_1": []}), late.finish()):
        with pytest.raises(IndexBeingBuilt):
            await step
    await late.give_up()
    with pytest.raises(IndexBeingBuilt):
        await slow.begin(now=NOW)
    await new.put({"tit_1": [DARK]})
    await new.finish()
    assert await slow.find(QUERY) == [DARK]
    await build(slow)


async def test_an_index_that_was_deleted_is_missing_and_no_write_creates_it(opensearch: OpenSearch) -> None:
    index = OpenSearchIndex(opensearch, ManualClock())
    await build(index)
    late = await index.begin(now=NOW)
    for name in await list_indexes(opensearch):
        await opensearch.request("DELETE", f"/{name}")
    for action in (index.find(QUERY), index.put({"tit_1": [DARK]}), index.put({"tit_1": []})):
        with pytest.raises(IndexNotReady):
            await action
    with pytest.raises(IndexNotReady):
        await late.put({"tit_1": [DARK]})
    await late.give_up()
    assert (await index.describe()).version == 0
    await build(index)
    assert await index.find(QUERY) == [DARK]


async def test_a_put_that_was_interrupted_is_completed_by_the_next_one(opensearch: OpenSearch) -> None:
    index = OpenSearchIndex(opensearch, ManualClock())
    await build(index)
    alias = f"{opensearch.namespace}-search-{VERSION}"
    more = [NameDocument("tit_1", "title", f"Dark {number}", f"dark {number}", "en") for number in range(20)]
    (lines,) = encode_documents(alias, {"tit_1": more}, 1 << 20)
    await opensearch.write(lines)  # not found yet, and what was there is not deleted
    for _ in range(2):
        await index.put({"tit_1": [DARK]})
        assert await index.find(QUERY) == [DARK]
        assert (await index.describe()).documents == 1


async def test_a_full_disk_refuses_writes_and_answers_searches(opensearch: OpenSearch) -> None:
    index = OpenSearchIndex(opensearch, ManualClock())
    await build(index)
    (name,) = await list_indexes(opensearch)
    # What OpenSearch itself sets where a disk is nearly full.
    block = msgspec.json.encode({"index.blocks.read_only_allow_delete": True})
    await opensearch.request("PUT", f"/{name}/_settings", body=block)
    with pytest.raises(StoreFull):
        await index.put({"tit_1": []})
    assert await index.find(QUERY) == [DARK]
