"""Calls over real sockets: what arrives, and what comes of every way in which they can fail."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from tests.unit.mesh_rig import Deployment, NoSeats, Rig, Theatre, rig_of, traced

from matinee.drivers.engine import EngineUnavailable
from matinee.kit import context
from matinee.kit.problem import DeadlineExceeded, Invalid, Overloaded, Unreachable
from matinee.mesh.api import NotServed, ServiceFailed
from matinee.mesh.client import bind_local
from matinee.mesh.retry import ATTEMPTS

TAKES_AND_WAITS = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.recv(100)
    print("took", flush=True)
    input()
"""

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rig_of(1) as rig:
        yield rig


@contextmanager
def dead_address() -> Iterator[str]:
    """A place that is held and where nobody listens: meanwhile it is given to no one else."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


async def test_a_call_arrives_with_its_trace_and_deadline(rig: Rig) -> None:
    with context.activate(traced()) as here, context.with_timeout(2_000):
        seen = await rig.caller().look(name="x")
    assert seen.trace_id == here.trace_id
    assert 0 < seen.left_ms <= 2_000


async def test_a_call_without_a_deadline_gets_one(rig: Rig) -> None:
    seen = await rig.caller(limit_ms=7_000).look()
    assert 0 < seen.left_ms <= 7_000
    assert seen.trace_id.startswith("trc_")


async def test_one_instance_that_cannot_reach_its_engine_is_passed_by(rig: Rig) -> None:
    await rig.start()
    rig.running[0].deployment.store_is_away = True
    theatre = rig.caller()
    names = [(await theatre.look()).name for _ in range(40)]
    assert set(names) == {"deployment 1"}
    booked = [await refused_or(theatre.book(row=row)) for row in range(20)]
    assert booked.count(None) <= 2, "a quick refusal draws no calls"


async def refused_or(booking: Awaitable[int]) -> int | None:
    try:
        return await booking
    except EngineUnavailable:
        return None


async def test_an_engine_that_is_away_for_all_is_told_as_it_is(rig: Rig) -> None:
    await rig.start()
    for running in rig.running:
        running.deployment.store_is_away = True
    for call in (rig.caller().look(), rig.caller().book(row=1)):
        with pytest.raises(EngineUnavailable) as caught:
            await call
        assert (caught.value.engine, caught.value.retry_after_ms) == ("mariadb", 3000)


async def test_a_problem_arrives_as_the_same_class(rig: Rig) -> None:
    with pytest.raises(NoSeats) as caught:
        await rig.caller().refuse(row=7)
    assert (caught.value.row, caught.value.names, caught.value.detail) == (7, ["a"], "Come again.")


async def test_a_bug_is_opaque(rig: Rig) -> None:
    with context.activate(traced()) as here, pytest.raises(ServiceFailed) as caught:
        await rig.caller().crash()
    assert caught.value.trace_id == here.trace_id
    assert "not for the caller" not in repr(caught.value)


async def test_a_wrong_argument_is_told(rig: Rig) -> None:
    with pytest.raises(Invalid) as caught:
        await rig.caller().book(row="front")
    assert [fault.field for fault in caught.value.faults] == ["row"]
    assert rig.running[0].deployment.booked == []


async def test_a_slow_service_runs_into_the_deadline_and_stops_working(rig: Rig) -> None:
    with pytest.raises(DeadlineExceeded):
        await rig.caller(limit_ms=100).linger()
    assert await rig.running[0].host.wait_until_idle(30.0)
    with context.with_timeout(50), pytest.raises(DeadlineExceeded):
        await rig.caller().linger_once()


async def test_no_time_left_means_no_call(rig: Rig) -> None:
    with context.with_timeout(0), pytest.raises(DeadlineExceeded):
        await rig.caller().book(row=1)
    assert rig.running[0].deployment.booked == []


async def test_no_instance(rig: Rig) -> None:
    await rig.running[0].membership.leave()
    await rig.directory.refresh()
    with pytest.raises(Unreachable):
        await rig.caller().look()


async def test_a_refused_connection_sends_any_call_elsewhere(rig: Rig) -> None:
    with dead_address() as one, dead_address() as other:
        for dead in (one, other):
            await rig.list(dead)
        caller = rig.caller()
        assert [await caller.book(row=row) for row in range(8)] == list(range(8))
    assert rig.running[0].deployment.booked == list(range(8))


async def test_only_refused_connections_end_as_unreachable() -> None:
    async with rig_of(0) as rig:
        with dead_address() as dead:
            await rig.list(dead)
            with pytest.raises(Unreachable):
                await rig.caller().book(row=1)
        assert rig.spans.kept[-1].attempts == ATTEMPTS


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the whole request and hang up."""
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    writer.close()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    writer.close()


@pytest.mark.parametrize("answer", [cut, garble, half])
async def test_a_connection_broken_mid_call(answer: Answerer) -> None:
    async with rig_of(0) as rig:
        await rig.listen(answer)
        caller = rig.caller()
        with pytest.raises(Unreachable):
            await caller.book(row=1)
        assert rig.spans.kept[-1].attempts == 1, "it may have happened: never again"
        with pytest.raises(Unreachable):
            await caller.look()
        assert rig.spans.kept[-1].attempts == ATTEMPTS


async def test_a_read_broken_mid_call_is_made_again_elsewhere(rig: Rig) -> None:
    await rig.listen(cut)
    caller = rig.caller()
    for _ in range(10):
        assert (await caller.look()).name == "deployment 0"


async def test_a_process_killed_mid_call() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TAKES_AND_WAITS, stdout=PIPE, stdin=PIPE)
    assert process.stdout is not None
    async with rig_of(0) as rig:
        await rig.list(f"http://127.0.0.1:{int(await process.stdout.readline())}")
        calling = asyncio.create_task(rig.caller().book(row=1))
        assert await process.stdout.readline() == b"took\n"
        process.kill()
        with pytest.raises(Unreachable):
            await calling
    await process.wait()


async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"type":"/problems/from-the-future","title":"?","status":418}'
    writer.write(b"HTTP/1.1 418 ?\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def other_type(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[{}]")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("answer", [strange, other_type])
async def test_an_answer_that_is_not_understood(answer: Answerer) -> None:
    async with rig_of(0) as rig:
        await rig.listen(answer)
        with pytest.raises(ServiceFailed):
            await rig.caller().look()


async def test_a_hung_instance_does_not_use_up_a_reads_time(rig: Rig) -> None:
    await rig.start()
    hung, able = rig.running
    able.deployment.gate.set()
    caller = rig.caller(limit_ms=1_000)
    answers = {await caller.linger() for _ in range(6)}
    assert answers == {able.deployment.name}
    assert hung.deployment.lingered >= 1, "it was tried"


async def test_a_wrong_key_is_our_failure_not_the_viewers(rig: Rig) -> None:
    with pytest.raises(ServiceFailed, match="keys"):
        await rig.caller(key="forged").book(row=1)
    assert rig.running[0].deployment.booked == []


async def test_what_an_instance_does_not_serve(rig: Rig) -> None:
    await rig.list(rig.running[0].server.address, "cinema")
    with pytest.raises(NotServed):
        await rig.caller("cinema").look()


async def test_too_many_at_once_are_refused_and_told_when_to_come_again(rig: Rig) -> None:
    caller = rig.caller(limit_ms=20_000)
    crowd = {asyncio.create_task(caller.linger_once()) for _ in range(80)}
    refused: set[asyncio.Task[str]] = set()
    while len(refused) < 80 - 64:
        refused |= (await asyncio.wait(crowd - refused, return_when=asyncio.FIRST_COMPLETED))[0]
    rig.running[0].deployment.gate.set()
    await asyncio.wait(crowd)
    problems = [task.exception() for task in refused]
    assert all(isinstance(problem, Overloaded) and problem.retry_after_ms > 0 for problem in problems)
    assert rig.running[0].deployment.lingered == 64


async def test_calls_that_wait_leave_places_for_the_others(rig: Rig) -> None:
    caller = rig.caller()
    waiting = [asyncio.create_task(caller.wait()) for _ in range(100)]
    await rig.running[0].deployment.entered.wait()
    assert [await caller.book(row=row) for row in range(10)] == list(range(10))
    rig.running[0].deployment.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"deployment 0"}


async def test_a_drained_instance_gets_no_new_calls_and_finishes_the_old(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    caller = rig.caller()
    old = [asyncio.create_task(caller.linger_once()) for _ in range(8)]
    await asyncio.gather(leaving.deployment.entered.wait(), staying.deployment.entered.wait())
    leaving.host.drain()  # the registry does not say so yet: the instance itself does
    for row in range(20):
        assert await caller.book(row=row) == row
    assert leaving.deployment.booked == []
    assert not await leaving.host.wait_until_idle(0.05)
    leaving.deployment.gate.set()
    staying.deployment.gate.set()
    assert set(await asyncio.gather(*old)) == {"deployment 0", "deployment 1"}
    assert await leaving.host.wait_until_idle(30.0)


async def test_the_registry_says_draining_and_no_call_is_even_tried(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    await leaving.membership.drain()
    await rig.directory.refresh()
    caller = rig.caller()
    assert {(await caller.look()).name for _ in range(10)} == {staying.deployment.name}
    assert {span.attempts for span in rig.spans.kept} == {1}


async def test_waiting_calls_are_sent_elsewhere_by_a_drain(rig: Rig) -> None:
    await rig.start()
    leaving, staying = rig.running
    await staying.membership.drain()
    await rig.directory.refresh()
    waiting = asyncio.create_task(rig.caller().wait())
    await leaving.deployment.entered.wait()
    back = msgspec.structs.replace(staying.membership.instance, draining=False)
    await rig.registry.register(instance=back, lease_s=600, now=rig.clock.now())
    await rig.directory.refresh()
    leaving.host.drain()
    leaving.host.drain()
    staying.deployment.gate.set()
    assert await waiting == staying.deployment.name


async def test_a_cancelled_call_leaves_nothing_behind(rig: Rig) -> None:
    caller = rig.caller()
    calling = asyncio.create_task(caller.linger())
    await rig.running[0].deployment.entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    rig.running[0].deployment.gate.set()
    assert await rig.running[0].host.wait_until_idle(30.0)
    assert rig.spans.kept[-1].outcome == "cancelled"
    assert await caller.book(row=1) == 1


async def test_every_call_leaves_a_span(rig: Rig) -> None:
    caller = rig.caller()
    with context.activate(traced()) as here:
        await caller.look()
        with pytest.raises(NoSeats):
            await caller.refuse(row=1)
    told = [(s.caller, s.callee, s.method, s.outcome, s.attempts, s.remote) for s in rig.spans.kept]
    assert told == [
        ("tests", "theatre", "look", "ok", 1, True),
        ("tests", "theatre", "refuse", "no-seats", 1, True),
    ]
    assert {s.trace_id for s in rig.spans.kept} == {here.trace_id}


@pytest.mark.parametrize("force_wire", [False, True])
async def test_a_local_call_leaves_the_same_span_and_the_same_problem(rig: Rig, force_wire: bool) -> None:
    here = bind_local(Theatre, "theatre", Deployment("here"), caller="tests", recorder=rig.spans, force_wire=force_wire)
    assert await here.book(row=3) == 3
    with pytest.raises(NoSeats) as caught:
        await here.refuse(row=7)
    assert (caught.value.row, caught.value.names) == (7, ["a"])
    told = [(s.caller, s.callee, s.method, s.outcome, s.remote) for s in rig.spans.kept]
    assert told == [("tests", "theatre", "book", "ok", False), ("tests", "theatre", "refuse", "no-seats", False)]


async def test_a_local_bug_leaves_a_span_and_goes_through(rig: Rig) -> None:
    here = bind_local(Theatre, "theatre", Deployment("here"), recorder=rig.spans)
    with pytest.raises(RuntimeError):
        await here.crash()
    assert rig.spans.kept[-1].outcome == "service-failed"


async def test_forced_over_the_wire_a_local_bug_is_as_opaque_as_a_remote_one() -> None:
    there = bind_local(Theatre, "theatre", Deployment("here"), force_wire=True)
    with pytest.raises(ServiceFailed):
        await there.crash()
    with pytest.raises(Invalid):
        await there.book(row="front")


def test_without_a_recorder_a_local_call_costs_nothing() -> None:
    deployment = Deployment("here")
    assert bind_local(Theatre, "theatre", deployment) is deployment
