"""Traces: the decision to keep them, `traceparent`, the file, a real OTLP receiver, and `matinee trace`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from structlog.testing import CapturingLogger

from matinee.cli import main
from matinee.cli.trace import trace as trace_command
from matinee.drivers import telemetry
from matinee.drivers.http import HttpClient
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.drivers.telemetry import Collector, SpanExporter, TraceFile, read_records
from matinee.gateway.server.middleware import RequestMiddleware
from matinee.gateway.server.state import ServerSettings
from matinee.kit import context, tracing
from matinee.kit.clock import SystemClock
from matinee.kit.problem import Overloaded, Unauthenticated
from matinee.kit.tracing import HELD_SPANS, KEPT_PER_S, Operation, Span, Tracer, parse_traceparent

RESOURCE = {"service.name": "gateway", "service.namespace": "matinee", "service.instance.id": "host:1"}
ROOT, PART = Operation("root", "server"), Operation("part", "client", {"rpc.service": "playback", "count": 3})
HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Kept:
    dropped = 0

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def record(self, span: Span) -> None:
        self.spans.append(span)


def make_tracer(sink: Any, sampling: float = 1.0) -> Tracer:
    return Tracer(sink=sink, sampling=sampling, clock=SystemClock(), rng=Random(1))


def record_trace(tracer: Tracer, *, failed: bool = False) -> Span:
    """Record a trace of two spans and return the first."""
    root = tracer.start(ROOT)
    assert root is not None
    root.start(PART).end()
    root.end("500" if failed else "ok", failed=failed)
    return root


@asynccontextmanager
async def serve(handle: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # an exporter in a thread sets no event
            await asyncio.sleep(0.01)


def test_the_share_of_sampled_traces_is_the_setting() -> None:
    kept = Kept()
    tracer = make_tracer(kept, sampling=0.1)
    for _ in range(2_000):
        record_trace(tracer)
    assert 150 * 2 <= len(kept.spans) <= 250 * 2
    assert make_tracer(kept, sampling=0).start(ROOT) is None


def test_a_failed_trace_is_kept_whole_and_only_so_many_in_a_second() -> None:
    kept = Kept()
    tracer = make_tracer(kept, sampling=1e-9)
    record_trace(tracer)
    assert kept.spans == []
    record_trace(tracer, failed=True)
    assert [span.operation.name for span in kept.spans] == ["part", "root"]
    for _ in range(10 * KEPT_PER_S):
        record_trace(tracer, failed=True)
    assert len(kept.spans) <= 2 * KEPT_PER_S * 2


def test_an_unsampled_trace_holds_a_bounded_number_of_spans() -> None:
    kept = Kept()
    root = make_tracer(kept, sampling=1e-9).start(ROOT)
    assert root is not None
    for _ in range(HELD_SPANS * 2):
        root.start(PART).end()
    late = root.start(PART)
    root.end(keep=True)
    late.end()
    assert len(kept.spans) == HELD_SPANS + 1


@pytest.mark.parametrize(
    "header", ["", "00-0-0-0", HEADER.replace("00-", "ff-", 1), f"00-{'0' * 32}-{'1' * 16}-01", f"{HEADER}-more"]
)
def test_a_malformed_traceparent_is_ignored(header: str) -> None:
    assert parse_traceparent(header) is None


def test_a_trace_continues_in_another_process() -> None:
    first, second = Kept(), Kept()
    root = make_tracer(first).start(ROOT)
    assert root is not None
    parent = parse_traceparent(root.to_traceparent())
    assert parent is not None
    assert parent.is_sampled
    other = make_tracer(second, sampling=1e-9).start(PART, parent)
    assert other is not None
    other.end()
    assert [(s.trace.trace_id, s.parent_id) for s in second.spans] == [(root.trace.trace_id, root.span_id)]


async def test_a_store_is_a_part_and_its_failure_is_named_without_its_message(tmp_path: Path) -> None:
    kept = Kept()

    def fail(_: Any) -> None:
        raise LookupError("ada@example.org")

    async with Database(f"sqlite:///{tmp_path}/a.db") as database:
        with pytest.raises(LookupError), context.start_trace(make_tracer(kept), ROOT):
            await database.read(fail)
    part, root = kept.spans
    assert (part.operation.name, part.parent_id, part.outcome) == ("sqlite read", root.span_id, "LookupError")
    assert (part.failed, root.failed) == (True, True)
    assert "ada" not in repr([telemetry.to_record(span, RESOURCE) for span in kept.spans])


async def request_gateway(status: int, headers: dict[str, str], sampling: float, **options: Any) -> tuple[Kept, Any]:
    """Send a request to a gateway that answers with a status; return its spans and response headers."""
    kept = Kept()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = RequestMiddleware(
        answer,
        settings=ServerSettings(web_root=Path(), **options),
        verifier=None,  # type: ignore[arg-type]  # the answers need no credentials
        clock=SystemClock(),
        metrics=Metrics(),
        tracer=make_tracer(kept, sampling),
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    await app({"type": "http", "method": "GET", "path": "/api/v1/x", "headers": encoded}, None, send)  # type: ignore[arg-type]
    return kept, dict(sent[0]["headers"])


async def test_a_client_chooses_the_trace_id_but_not_the_sampling() -> None:
    kept, headers = await request_gateway(200, {"traceparent": HEADER}, 1e-9)
    assert headers[b"x-trace-id"].decode() == tracing.from_hex("0af7651916cd43dd8448eb211c80319c")
    assert kept.spans == []
    kept, _ = await request_gateway(200, {"traceparent": HEADER}, 1e-9, honour_sampled=True)
    assert len(kept.spans) == 1


@pytest.mark.parametrize(("status", "slow_ms", "count"), [(503, 5_000, 1), (404, 5_000, 0), (200, 0, 1)])
async def test_failed_and_slow_requests_are_kept(status: int, slow_ms: int, count: int) -> None:
    kept, _ = await request_gateway(status, {}, 1e-9, slow_ms=slow_ms)
    assert [span.operation.attributes["http.response.status_code"] for span in kept.spans] == [status] * count


async def test_a_collector_receives_otlp() -> None:
    received: list[ExportTraceServiceRequest] = []

    async def receive(request: web.Request) -> web.Response:
        assert request.path == "/v1/traces"
        assert request.content_type == "application/x-protobuf"
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    async with serve(receive) as url, HttpClient() as http:
        exporter = SpanExporter(Collector(url, http=http, resource=RESOURCE))
        tracer = make_tracer(exporter)
        with context.start_trace(tracer, ROOT, link=HEADER):
            with context.traced(PART):
                pass
            with pytest.raises(Overloaded), context.traced(PART):
                raise Overloaded(retry_after_ms=1)
            with pytest.raises(Unauthenticated), context.traced(PART):
                raise Unauthenticated
        await exporter.close()
    (group,) = received[0].resource_spans
    assert {a.key: a.value.string_value for a in group.resource.attributes} == RESOURCE
    part, failed, refused, root = group.scope_spans[0].spans
    assert (part.kind, root.kind) == (part.SPAN_KIND_CLIENT, root.SPAN_KIND_SERVER)
    assert {span.trace_id for span in group.scope_spans[0].spans} == {root.trace_id}
    assert {part.parent_span_id, failed.parent_span_id} == {root.span_id}
    assert len(root.trace_id) == 16
    assert root.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano <= root.end_time_unix_nano
    assert abs(root.start_time_unix_nano / 1e9 - time.time()) < 60
    assert {a.key: a.value.string_value or a.value.int_value for a in part.attributes} == dict(PART.attributes)
    assert (part.status.code, failed.status.code, refused.status.code) == (0, failed.status.STATUS_CODE_ERROR, 0)
    assert failed.events[0].name == "exception"
    assert refused.attributes[-1].value.string_value == Unauthenticated.kind()
    assert root.links[0].span_id.hex() == "b7ad6b7169203331"


async def test_a_collector_that_hangs_delays_nothing_and_loses_only_spans() -> None:
    arrived, hang = asyncio.Event(), asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        arrived.set()
        await hang.wait()
        return web.Response()

    async with serve(never) as url, HttpClient() as http:
        exporter = SpanExporter(Collector(url, http=http, resource=RESOURCE), interval_s=0.01)
        tracer = make_tracer(exporter)
        exporting = asyncio.create_task(exporter.run())
        record_trace(tracer)
        await arrived.wait()
        for _ in range(telemetry.QUEUE_LIMIT):
            record_trace(tracer)
        assert exporter.dropped == telemetry.QUEUE_LIMIT + 2
        exporting.cancel()
        await exporter.close()  # it ends although the collector still hangs
        assert exporter.dropped == 2 * telemetry.QUEUE_LIMIT + 2
        hang.set()


async def test_an_outage_of_the_collector_is_survived() -> None:
    statuses, received = [503, 503, 200], 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal received
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == 200:
            found = ExportTraceServiceRequest.FromString(await request.read())
            received += len(found.resource_spans[0].scope_spans[0].spans)
        return web.Response(status=status)

    async with serve(receive) as url, HttpClient() as http:
        exporter = SpanExporter(Collector(url, http=http, resource=RESOURCE), interval_s=0.01)
        record_trace(make_tracer(exporter))
        exporting = asyncio.create_task(exporter.run())
        await until(lambda: received == 2)
        exporting.cancel()
    assert exporter.dropped == 0


async def test_refused_spans_are_dropped_and_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module's own logger may already hold the processors of an earlier test.
    monkeypatch.setattr(telemetry, "_log", logger := CapturingLogger())
    answered = 0

    async def refuse(request: web.Request) -> web.Response:
        nonlocal answered
        answered += 1
        return web.Response(status=500)

    async with serve(refuse) as url, HttpClient() as http:
        exporter = SpanExporter(Collector(url, http=http, resource=RESOURCE), interval_s=0.01)
        exporting = asyncio.create_task(exporter.run())
        for count in (1, 2, 3):
            record_trace(make_tracer(exporter))
            await until(lambda count=count: exporter.dropped == 2 * count)
        exporting.cancel()
    assert answered >= 3
    assert [call.args for call in logger.calls] == [("traces.export_failed",)]


def test_lines_that_are_no_spans_are_skipped(tmp_path: Path) -> None:
    good = {"started_at": "2026-11-29T09:00:00Z", "duration_us": 5, "trace_id": "a" * 32, "span_id": "b" * 16}
    good |= {"name": "[red]root[/x]", "service": "gateway", "attributes": {"server.address": "/films [old]/data"}}
    bad = [{"trace_id": "xyz"}, {"started_at": "2026-11-29T09:00:00"}, {"duration_us": -1}, {"duration_us": 10**30}]
    lines = [msgspec.json.encode({**good, **change}) for change in ({}, *bad)]
    (tmp_path / "traces" / "odd.jsonl").mkdir(parents=True)
    (tmp_path / "traces" / "gateway.jsonl").write_bytes(b"\n".join(lines))
    for arguments in ([], ["a" * 32]):
        result = CliRunner().invoke(trace_command, [*arguments, "--data", str(tmp_path)])
        assert result.exit_code == 0
        assert "[red]root[/x]" in result.output
    assert "/films [old]/data" in result.output


async def test_a_file_is_bounded_and_readable_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "gateway.jsonl"
    kept = Kept()
    root = record_trace(make_tracer(kept))
    file = TraceFile(path, resource=RESOURCE, limit_bytes=4_000)
    await file.write(kept.spans)
    with path.open("ab") as half:
        half.write(b'{"started_at":"20')
    await file.write(kept.spans)
    assert len(list(read_records(tmp_path, tracing.to_hex(root.trace.trace_id)))) == 4
    for _ in range(50):
        await file.write(kept.spans)
    sizes = {each.name: each.stat().st_size for each in tmp_path.iterdir()}  # noqa: ASYNC240
    assert sum(sizes.values()) < 2 * 5_000
    assert set(sizes) <= {"gateway.jsonl", "gateway.jsonl.1"}


async def test_the_command_prints_the_waterfall(tmp_path: Path) -> None:
    kept = Kept()
    root = record_trace(make_tracer(kept), failed=True)
    for service, span in (("gateway", root), ("playback", kept.spans[0])):
        resource = {**RESOURCE, "service.name": service}
        await TraceFile(tmp_path / "traces" / f"{service}.jsonl", resource=resource, limit_bytes=1 << 20).write([span])
    for trace_id in (root.trace.trace_id, tracing.to_hex(root.trace.trace_id)):
        shown = CliRunner().invoke(trace_command, [trace_id, "--data", str(tmp_path)])
        lines = shown.output.splitlines()
        assert root.trace.trace_id in lines[0]
        assert "2 spans" in lines[0]
        assert "root" in lines[2]
        assert "500" in lines[2]
        assert "  part" in lines[3]
        assert "playback" in lines[3]
        assert "count=3" in lines[3]
    listed = CliRunner().invoke(trace_command, ["--data", str(tmp_path)]).output
    assert root.trace.trace_id in listed
    assert "failed" in listed


@pytest.mark.parametrize("trace_id", ["0" * 31 + "1", "x", "trc_!"])
def test_an_unknown_trace_is_one_line(trace_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", trace_id, "--data", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
