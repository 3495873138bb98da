"""Calls over real sockets, and every way in which they can fail."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from tests.unit.mesh_rig import NoSeats, Rig, attempts_of, new_trace, open_rig

from matinee.drivers.engine import EngineUnavailable
from matinee.kit import context
from matinee.kit.problem import DeadlineExceeded, Invalid, Overloaded, Unreachable
from matinee.mesh.api import NotServed, ServiceFailed
from matinee.mesh.retry import ATTEMPTS

ACCEPT_AND_WAIT = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.recv(100)
    print("received", flush=True)
    input()
"""

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig(1) as rig:
        yield rig


@contextmanager
def closed_address() -> Iterator[str]:
    """Reserve an address that refuses connections."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


async def test_a_call_carries_its_trace_and_deadline(rig: Rig) -> None:
    with context.activate(new_trace()) as here, context.with_timeout(2_000):
        description = await rig.caller().describe(name="x")
    assert description.trace_id == here.trace_id
    assert 0 < description.remaining_ms <= 2_000


async def test_a_call_without_a_deadline_gets_the_default(rig: Rig) -> None:
    description = await rig.caller(limit_ms=7_000).describe()
    assert 0 < description.remaining_ms <= 7_000
    assert description.trace_id.startswith("trc_")


async def test_an_instance_that_cannot_reach_its_engine_is_avoided(rig: Rig) -> None:
    await rig.start()
    rig.running[0].playhouse.is_store_unavailable = True
    theatre = rig.caller()
    names = [(await theatre.describe()).name for _ in range(40)]
    assert set(names) == {"playhouse 1"}
    booked = [await book_or_none(theatre.book(row=row)) for row in range(20)]
    assert booked.count(None) <= 2, "a quick refusal must not attract calls"


async def book_or_none(booking: Awaitable[int]) -> int | None:
    try:
        return await booking
    except EngineUnavailable:
        return None


async def test_an_engine_unavailable_to_all_instances_is_reported(rig: Rig) -> None:
    await rig.start()
    for running in rig.running:
        running.playhouse.is_store_unavailable = True
    for call in (rig.caller().describe(), rig.caller().book(row=1)):
        with pytest.raises(EngineUnavailable) as caught:
            await call
        assert (caught.value.engine, caught.value.retry_after_ms) == ("mariadb", 3000)


async def test_a_problem_arrives_as_the_same_class(rig: Rig) -> None:
    with pytest.raises(NoSeats) as caught:
        await rig.caller().refuse(row=7)
    assert (caught.value.row, caught.value.names, caught.value.detail) == (7, ["a"], "Come again.")


async def test_a_bug_is_opaque(rig: Rig) -> None:
    with context.activate(new_trace()) as here, pytest.raises(ServiceFailed) as caught:
        await rig.caller().crash()
    assert caught.value.trace_id == here.trace_id
    assert "not for the caller" not in repr(caught.value)


async def test_an_invalid_argument_is_reported(rig: Rig) -> None:
    with pytest.raises(Invalid) as caught:
        await rig.caller().book(row="front")
    assert [fault.field for fault in caught.value.faults] == ["row"]
    assert rig.running[0].playhouse.booked == []


async def test_a_slow_service_is_cancelled_at_the_deadline(rig: Rig) -> None:
    with pytest.raises(DeadlineExceeded):
        await rig.caller(limit_ms=100).linger()
    assert await rig.running[0].host.wait_until_idle(30.0)
    with context.with_timeout(50), pytest.raises(DeadlineExceeded):
        await rig.caller().linger_once()


async def test_no_call_is_made_after_the_deadline(rig: Rig) -> None:
    with context.with_timeout(0), pytest.raises(DeadlineExceeded):
        await rig.caller().book(row=1)
    assert rig.running[0].playhouse.booked == []


async def test_a_call_without_an_instance_is_unreachable(rig: Rig) -> None:
    await rig.running[0].membership.leave()
    await rig.directory.refresh()
    with pytest.raises(Unreachable):
        await rig.caller().describe()


async def test_any_call_is_retried_after_a_refused_connection(rig: Rig) -> None:
    with closed_address() as one, closed_address() as other:
        for dead in (one, other):
            await rig.register(dead)
        caller = rig.caller()
        assert [await caller.book(row=row) for row in range(8)] == list(range(8))
    assert rig.running[0].playhouse.booked == list(range(8))


async def test_refused_connections_are_retried_then_unreachable() -> None:
    async with open_rig(0) as rig:
        with closed_address() as dead:
            await rig.register(dead)
            with pytest.raises(Unreachable):
                await rig.caller().book(row=1)
        assert attempts_of(rig.spans.recorded[-1]) == ATTEMPTS


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the request and close the connection."""
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    writer.close()


async def truncate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    writer.close()


@pytest.mark.parametrize("answer", [hang_up, garble, truncate])
async def test_a_connection_broken_mid_call(answer: Answerer) -> None:
    async with open_rig(0) as rig:
        await rig.listen(answer)
        caller = rig.caller()
        with pytest.raises(Unreachable):
            await caller.book(row=1)
        assert attempts_of(rig.spans.recorded[-1]) == 1, "it may have been executed"
        with pytest.raises(Unreachable):
            await caller.describe()
        assert attempts_of(rig.spans.recorded[-1]) == ATTEMPTS


async def test_a_read_broken_mid_call_is_retried_elsewhere(rig: Rig) -> None:
    await rig.listen(hang_up)
    caller = rig.caller()
    for _ in range(10):
        assert (await caller.describe()).name == "playhouse 0"


async def test_a_process_killed_mid_call() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ACCEPT_AND_WAIT, stdout=PIPE, stdin=PIPE)
    assert process.stdout is not None
    async with open_rig(0) as rig:
        await rig.register(f"http://127.0.0.1:{int(await process.stdout.readline())}")
        calling = asyncio.create_task(rig.caller().book(row=1))
        assert await process.stdout.readline() == b"received\n"
        process.kill()
        with pytest.raises(Unreachable):
            await calling
    await process.wait()


async def unknown_problem(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"type":"/problems/from-the-future","title":"?","status":418}'
    writer.write(b"HTTP/1.1 418 ?\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def wrong_type(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[{}]")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("answer", [unknown_problem, wrong_type])
async def test_an_unreadable_answer_is_a_failure_of_the_service(answer: Answerer) -> None:
    async with open_rig(0) as rig:
        await rig.listen(answer)
        with pytest.raises(ServiceFailed):
            await rig.caller().describe()


async def test_a_hung_instance_leaves_a_read_time_for_another(rig: Rig) -> None:
    await rig.start()
    hung, working = rig.running
    working.playhouse.gate.set()
    caller = rig.caller(limit_ms=1_000)
    answers = {await caller.linger() for _ in range(6)}
    assert answers == {working.playhouse.name}
    assert hung.playhouse.lingered >= 1, "it was tried"


async def test_a_wrong_mesh_key_is_a_failure_of_the_service(rig: Rig) -> None:
    with pytest.raises(ServiceFailed, match="keys"):
        await rig.caller(key="forged").book(row=1)
    assert rig.running[0].playhouse.booked == []


async def test_a_call_to_an_instance_that_does_not_serve_it(rig: Rig) -> None:
    await rig.register(rig.running[0].server.address, "cinema")
    with pytest.raises(NotServed):
        await rig.caller("cinema").describe()


async def test_calls_above_the_limit_are_refused_with_a_retry_time(rig: Rig) -> None:
    caller = rig.caller(limit_ms=20_000)
    calls = {asyncio.create_task(caller.linger_once()) for _ in range(80)}
    refused: set[asyncio.Task[str]] = set()
    while len(refused) < 80 - 64:
        refused |= (await asyncio.wait(calls - refused, return_when=asyncio.FIRST_COMPLETED))[0]
    rig.running[0].playhouse.gate.set()
    await asyncio.wait(calls)
    problems = [task.exception() for task in refused]
    assert all(isinstance(problem, Overloaded) and problem.retry_after_ms > 0 for problem in problems)
    assert rig.running[0].playhouse.lingered == 64


async def test_long_running_calls_do_not_use_the_limit_of_others(rig: Rig) -> None:
    caller = rig.caller()
    waiting = [asyncio.create_task(caller.wait()) for _ in range(100)]
    await rig.running[0].playhouse.entered.wait()
    assert [await caller.book(row=row) for row in range(10)] == list(range(10))
    rig.running[0].playhouse.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"playhouse 0"}


async def test_a_draining_instance_gets_no_new_calls_and_finishes_running_ones(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    caller = rig.caller()
    old = [asyncio.create_task(caller.linger_once()) for _ in range(8)]
    await asyncio.gather(leaving.playhouse.entered.wait(), staying.playhouse.entered.wait())
    leaving.host.drain()  # not in the registry yet
    for row in range(20):
        assert await caller.book(row=row) == row
    assert leaving.playhouse.booked == []
    assert not await leaving.host.wait_until_idle(0.05)
    leaving.playhouse.gate.set()
    staying.playhouse.gate.set()
    assert set(await asyncio.gather(*old)) == {"playhouse 0", "playhouse 1"}
    assert await leaving.host.wait_until_idle(30.0)


async def test_an_instance_registered_as_draining_is_not_tried(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    await leaving.membership.drain()
    await rig.directory.refresh()
    caller = rig.caller()
    assert {(await caller.describe()).name for _ in range(10)} == {staying.playhouse.name}
    assert {attempts_of(span) for span in rig.spans.recorded} == {1}


async def test_waiting_calls_move_to_another_instance_on_drain(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    await staying.membership.drain()
    await rig.directory.refresh()
    waiting = asyncio.create_task(rig.caller().wait())
    await leaving.playhouse.entered.wait()
    back = msgspec.structs.replace(staying.membership.instance, draining=False)
    await rig.registry.register(instance=back, lease_s=600, now=rig.clock.now())
    await rig.directory.refresh()
    leaving.host.drain()
    leaving.host.drain()
    staying.playhouse.gate.set()
    assert await waiting == staying.playhouse.name


async def test_a_cancelled_call_is_cancelled_at_the_service(rig: Rig) -> None:
    caller = rig.caller()
    calling = asyncio.create_task(caller.linger())
    await rig.running[0].playhouse.entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    rig.running[0].playhouse.gate.set()
    assert await rig.running[0].host.wait_until_idle(30.0)
    assert rig.spans.recorded[-1].outcome == "cancelled"
    assert await caller.book(row=1) == 1


async def test_every_call_is_recorded(rig: Rig) -> None:
    caller = rig.caller()
    with context.activate(new_trace()) as here:
        await caller.describe()
        with pytest.raises(NoSeats):
            await caller.refuse(row=1)
    assert rig.spans.calls() == [
        ("tests", "theatre", "describe", "client", "ok", 1),
        ("tests", "theatre", "refuse", "client", "no-seats", 1),
    ]
    assert {s.trace.trace_id for s in rig.spans.recorded} == {here.trace_id}
