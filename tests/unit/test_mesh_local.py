"""Calls within a process have the deadline, limit, metrics, span and problems of remote ones."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.unit.mesh_rig import NoSeats, Playhouse, Spans, bind_local, new_trace

from matinee.drivers.metrics import Metrics
from matinee.kit import context
from matinee.kit.problem import DeadlineExceeded, Invalid, Overloaded
from matinee.mesh.api import ServiceFailed

LIMIT = 64


@pytest.fixture
def playhouse() -> Playhouse:
    return Playhouse("local")


async def test_a_call_carries_its_trace_and_deadline(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse, limit_ms=7_000)
    with context.activate(new_trace()) as trace:
        description = await theatre.describe()
        assert description.trace_id == trace.trace_id
        assert 6_000 < description.remaining_ms <= 7_000
        with context.with_timeout(2_000):
            assert (await theatre.describe()).remaining_ms <= 2_000
        assert context.current() is trace


async def test_a_slow_call_is_cancelled_at_the_deadline(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse, limit_ms=50)
    with pytest.raises(DeadlineExceeded) as caught:
        await theatre.linger()
    assert caught.value.service == "theatre"
    with context.with_timeout(20), pytest.raises(DeadlineExceeded):
        await theatre.wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_no_call_is_made_after_the_deadline(playhouse: Playhouse) -> None:
    with context.with_timeout(0), pytest.raises(DeadlineExceeded):
        await bind_local(playhouse).book(row=1)
    assert playhouse.booked == []


async def test_a_call_that_suspends_returns_its_result(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse)
    calling = asyncio.create_task(theatre.linger())
    await playhouse.entered.wait()
    playhouse.gate.set()
    assert await calling == "local"


async def test_a_cancelled_call_is_cancelled_and_recorded(playhouse: Playhouse) -> None:
    spans = Spans()
    with spans.trace():
        calling = asyncio.create_task(bind_local(playhouse).linger())
    await playhouse.entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert [span.outcome for span in spans.recorded] == ["cancelled"]


async def test_calls_above_the_limit_are_refused_with_a_retry_time(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse)
    waiting = [asyncio.create_task(theatre.linger()) for _ in range(LIMIT)]
    await playhouse.entered.wait()
    with pytest.raises(Overloaded) as caught:
        await theatre.book(row=1)
    assert caught.value.retry_after_ms > 0
    playhouse.gate.set()
    await asyncio.gather(*waiting)
    assert await theatre.book(row=2) == 2
    assert playhouse.booked == [2]


async def test_a_call_above_the_limit_waits_shortly_for_a_slot(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse)
    waiting = [asyncio.create_task(theatre.linger()) for _ in range(LIMIT)]
    await playhouse.entered.wait()
    booking = asyncio.create_task(theatre.book(row=1))
    await asyncio.sleep(0)
    playhouse.gate.set()
    assert await booking == 1
    await asyncio.gather(*waiting)


async def test_long_running_calls_do_not_use_the_limit_of_others(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse)
    waiting = [asyncio.create_task(theatre.wait()) for _ in range(LIMIT * 2)]
    await playhouse.entered.wait()
    assert await theatre.book(row=1) == 1
    playhouse.gate.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("force_wire", [False, True])
async def test_a_call_records_a_span_and_raises_the_problem(playhouse: Playhouse, force_wire: bool) -> None:
    spans = Spans()
    theatre = bind_local(playhouse, force_wire=force_wire)
    with spans.trace():
        assert await theatre.book(row=3) == 3
        with pytest.raises(NoSeats) as caught:
            await theatre.refuse(row=7)
    assert (caught.value.row, caught.value.names) == (7, ["a"])
    assert spans.calls() == [
        ("tests", "theatre", "book", "internal", "ok", 1),
        ("tests", "theatre", "refuse", "internal", "no-seats", 1),
    ]


async def test_calls_are_counted_by_outcome(playhouse: Playhouse) -> None:
    metrics = Metrics()
    theatre = bind_local(playhouse, metrics=metrics)
    await theatre.book(row=1)
    with pytest.raises(NoSeats):
        await theatre.refuse(row=1)
    text = metrics.render().decode()
    for line in (
        'matinee_calls_total{domain="theatre",method="book",outcome="ok"} 1.0',
        'matinee_calls_total{domain="theatre",method="refuse",outcome="no-seats"} 1.0',
        'matinee_call_seconds_bucket{domain="theatre",le="10.0",method="book"} 1.0',
        'matinee_call_seconds_count{domain="theatre",method="book"} 1.0',
        'matinee_calls_in_flight{domain="theatre"} 0.0',
    ):
        assert line in text


@pytest.mark.parametrize("force_wire", [False, True])
async def test_a_bug_is_opaque(playhouse: Playhouse, force_wire: bool) -> None:
    theatre = bind_local(playhouse, force_wire=force_wire)
    with context.activate(new_trace()) as trace, pytest.raises(ServiceFailed) as caught:
        await theatre.crash()
    assert caught.value.trace_id == trace.trace_id
    assert "not for the caller" not in repr(caught.value)


async def test_the_forced_wire_validates_arguments(playhouse: Playhouse) -> None:
    with pytest.raises(Invalid):
        await bind_local(playhouse, force_wire=True).book(row="front")


async def test_a_failure_of_the_service_to_meet_its_own_timeout_is_its_failure(playhouse: Playhouse) -> None:
    async def time_out() -> None:
        raise TimeoutError

    playhouse.crash = time_out  # type: ignore[method-assign]
    with pytest.raises(ServiceFailed):
        await bind_local(playhouse).crash()


async def test_cancellation_from_outside_is_not_a_deadline(playhouse: Playhouse) -> None:
    theatre = bind_local(playhouse, limit_ms=1)
    calling = asyncio.create_task(theatre.linger())
    await playhouse.entered.wait()
    calling.cancel()
    time.sleep(0.05)  # noqa: ASYNC251  # the deadline expires in the same turn of the event loop
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_nested_calls_end_at_the_inner_deadline(playhouse: Playhouse) -> None:
    inner = bind_local(playhouse, limit_ms=20)

    async def describe() -> str:
        with pytest.raises(DeadlineExceeded):
            await inner.linger()
        await asyncio.sleep(0)
        return "done"

    outer = Playhouse("outer")
    outer.linger = describe  # type: ignore[method-assign, assignment]
    assert await bind_local(outer).linger() == "done"


async def test_a_call_that_cleans_up_after_its_deadline_is_a_deadline(playhouse: Playhouse) -> None:
    async def linger() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
        return ""

    playhouse.linger = linger  # type: ignore[method-assign, assignment]
    with pytest.raises(DeadlineExceeded):
        await bind_local(playhouse, limit_ms=20).linger()
