"""Export of spans, without delay to any request: to a file of JSON lines, or by OTLP/HTTP to a collector."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import msgspec

from matinee.drivers.http import HttpClient
from matinee.kit import log
from matinee.kit.ticks import sleep_until_tick
from matinee.kit.tracing import Span, parse_traceparent, to_hex

QUEUE_LIMIT: Final = 8_192
BATCH: Final = 128
INTERVAL_S: Final = 0.5
# The time limit of one request to the collector, and of the last export of a process.
TIMEOUT_S: Final = 5.0
FLUSH_S: Final = 2.0
MAX_PAUSE_S: Final = 30.0
# Responses after which OTLP/HTTP allows the same request again.
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DURATION_US: Final = 30 * 86_400 * 1_000_000
_log = log.get()


class SpansRefused(Exception):
    """The destination refused spans, and would refuse them again."""


class SpanRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A span as a line of a file. Ids are in OpenTelemetry's form; `link` is the `traceparent` of the cause."""

    started_at: Annotated[datetime, msgspec.Meta(tz=True)]
    duration_us: Annotated[int, msgspec.Meta(ge=0, le=_MAX_DURATION_US)]
    trace_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    span_id: str
    parent_id: str = ""
    name: str
    service: str
    instance: str = ""
    kind: str = "internal"
    outcome: str = "ok"
    failed: bool = False
    link: str = ""
    attributes: dict[str, str | int] = {}


class Destination(Protocol):
    """Where spans are exported to."""

    async def write(self, spans: Sequence[Span]) -> None:
        """Export spans. Raises SpansRefused; any other exception means that a later try may succeed."""


class SpanExporter:
    """A bounded queue of spans, exported by `run`. A full queue drops spans, and `dropped` counts them."""

    def __init__(self, destination: Destination, *, interval_s: float = INTERVAL_S) -> None:
        self.dropped = 0
        self._destination = destination
        self._interval_s = interval_s
        self._queue: deque[Span] = deque()

    def record(self, span: Span) -> None:
        """Queue a span for export."""
        if len(self._queue) < QUEUE_LIMIT:
            self._queue.append(span)
        else:
            self.dropped += 1

    async def run(self) -> None:
        """Export until cancelled, with pauses while the destination fails and one line in the log for each outage."""
        pause_s = self._interval_s
        while True:
            await sleep_until_tick(pause_s)
            if not self._queue:
                continue
            try:
                await self._flush()
            except Exception as error:
                if pause_s == self._interval_s:
                    _log.warning("traces.export_failed", error=repr(error))
                pause_s = min(MAX_PAUSE_S, pause_s * 2)
            else:
                if pause_s > self._interval_s:
                    _log.info("traces.export_recovered", dropped=self.dropped)
                pause_s = self._interval_s

    async def close(self) -> None:
        """Export what is queued, within a deadline; the rest is dropped."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._flush()
        except Exception as error:
            self.dropped += len(self._queue)
            _log.warning("traces.dropped", spans=len(self._queue), error=repr(error))

    async def _flush(self) -> None:
        while self._queue:
            batch = list(islice(self._queue, BATCH))
            try:
                await self._destination.write(batch)
            except SpansRefused:
                self.dropped += self._remove(batch)
                raise
            self._remove(batch)

    def _remove(self, batch: Sequence[Span]) -> int:
        for _ in batch:
            self._queue.popleft()
        return len(batch)


class TraceFile:
    """A file of JSON lines. At `limit_bytes` it is renamed to `….1`, which replaces the previous one."""

    def __init__(self, path: Path, *, resource: Mapping[str, str], limit_bytes: int) -> None:
        self._path = path
        self._resource = resource
        self._limit_bytes = limit_bytes

    async def write(self, spans: Sequence[Span]) -> None:
        """Append spans."""
        await asyncio.to_thread(self._append, spans)

    def _append(self, spans: Sequence[Span]) -> None:
        lines = b"".join(msgspec.json.encode(to_record(span, self._resource)) + b"\n" for span in spans)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            if size := file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed while it wrote
                    lines = b"\n" + lines
            file.write(lines)
        if size + len(lines) >= self._limit_bytes:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))


class Collector:
    """A collector, which receives spans by OTLP/HTTP in protobuf at `URL/v1/traces`."""

    def __init__(self, url: str, *, http: HttpClient, resource: Mapping[str, str]) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._http = http
        self._resource = resource

    async def write(self, spans: Sequence[Span]) -> None:
        """Send spans in one request. Raises SpansRefused, ConnectionError."""
        records = [to_record(span, self._resource) for span in spans]
        body = await asyncio.to_thread(encode_otlp, records, self._resource)
        response = await self._http.request(
            "POST", self._url, body=body, headers={"content-type": "application/x-protobuf"}, timeout_s=TIMEOUT_S
        )
        if response.status in _RETRYABLE:
            raise ConnectionError(f"the collector answered {response.status}")
        if response.status >= 300:
            raise SpansRefused(f"{self._url} answered {response.status}")


def to_record(span: Span, resource: Mapping[str, str]) -> SpanRecord:
    """Convert a finished span."""
    trace, operation = span.trace, span.operation
    return SpanRecord(
        started_at=_EPOCH + timedelta(seconds=trace.epoch_s + span.started_s),
        duration_us=round((span.ended_s - span.started_s) * 1e6),
        trace_id=to_hex(trace.trace_id),
        span_id=f"{span.span_id:016x}",
        parent_id=f"{span.parent_id:016x}" if span.parent_id else "",
        name=operation.name,
        service=resource["service.name"],
        instance=resource.get("service.instance.id", ""),
        kind=operation.kind,
        outcome=span.outcome,
        failed=span.failed,
        link=trace.link if trace.first is span else "",
        attributes={**operation.attributes, **span.attributes},
    )


def encode_otlp(records: Sequence[SpanRecord], resource: Mapping[str, str]) -> bytes:
    """Encode an `ExportTraceServiceRequest` (opentelemetry-proto)."""
    # Imported here: this takes 0.1 s, and only a deployment with a collector needs it.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    _set_attributes(group.resource, resource)
    scope = group.scope_spans.add()
    scope.scope.name = "matinee"
    for record in records:
        _fill_span(scope.spans.add(), record)
    data: bytes = request.SerializeToString()
    return data


def _fill_span(span: Any, record: SpanRecord) -> None:
    started_ns = (record.started_at - _EPOCH) // timedelta(microseconds=1) * 1000
    span.trace_id, span.span_id = bytes.fromhex(record.trace_id), bytes.fromhex(record.span_id)
    span.parent_span_id = bytes.fromhex(record.parent_id)
    span.name = record.name
    span.kind = f"SPAN_KIND_{record.kind.upper()}"
    span.start_time_unix_nano, span.end_time_unix_nano = started_ns, started_ns + record.duration_us * 1000
    _set_attributes(span, record.attributes)
    if record.outcome != "ok":
        _set_attributes(span, {"error.type": record.outcome})
    if record.failed:
        span.status.code = "STATUS_CODE_ERROR"
        event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
        _set_attributes(event, {"exception.type": record.outcome})
    if cause := parse_traceparent(record.link):
        span.links.add(trace_id=bytes.fromhex(to_hex(cause.trace_id)), span_id=cause.span_id.to_bytes(8, "big"))


def _set_attributes(message: Any, attributes: Mapping[str, str | int]) -> None:
    for key, value in attributes.items():
        found = message.attributes.add(key=key).value
        if isinstance(value, int):
            found.int_value = value
        else:
            found.string_value = value


def read_records(folder: Path, trace_id: str = "") -> Iterator[SpanRecord]:
    """Yield the spans of a trace, or of all, from the files of all processes. Damaged lines are skipped."""
    decoder = msgspec.json.Decoder(SpanRecord)
    needle = trace_id.encode()
    for path in sorted(path for path in folder.glob("*.jsonl*") if path.is_file()):
        with path.open("rb") as file:
            for line in file:
                if needle in line:
                    try:
                        record = decoder.decode(line)
                    except msgspec.DecodeError:  # the end of a killed process
                        continue
                    if not trace_id or record.trace_id == trace_id:
                        yield record
