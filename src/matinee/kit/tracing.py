"""Traces of requests (OpenTelemetry's model): spans recorded in memory, kept when sampled or when their request fails.

The first span of a trace in a process decides once. Spans of a sampled trace go to the sink as they end. Those of the
others wait in a bounded list until the first span ends: a failed request is kept whole, any other is forgotten.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Mapping
from random import Random
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.ids import TraceId
from matinee.kit.problem import Problem

SpanKind: TypeAlias = Literal["internal", "server", "client", "consumer"]
# Spans of an unsampled trace that are held until it ends.
HELD_SPANS: Final = 256
# Unsampled traces kept for their failure, so that an outage does not record every request.
KEPT_PER_S: Final = 10

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Operation(NamedTuple):
    """What a span measures. Attributes have the names of OpenTelemetry's semantic conventions."""

    name: str
    kind: SpanKind = "internal"
    attributes: Mapping[str, str | int] = {}


class TraceParent(NamedTuple):
    """The content of a W3C `traceparent` header."""

    trace_id: TraceId
    span_id: int
    is_sampled: bool


class SpanSink(Protocol):
    """Receives spans that are kept; `dropped` counts those that were lost."""

    dropped: int

    def record(self, span: Span) -> None:
        """Take a finished span. Must not block or raise."""


class Span:
    """A part of a request. `outcome` is `ok` or the kind of its problem; `failed` when the fault is not the caller's.

    Only the event loop of its trace may start and end spans.
    """

    __slots__ = (
        "attributes",
        "ended_s",
        "failed",
        "operation",
        "outcome",
        "parent_id",
        "span_id",
        "started_s",
        "trace",
    )

    def __init__(self, trace: Trace, operation: Operation, parent_id: int, started_s: float) -> None:
        self.trace = trace
        self.operation = operation
        self.parent_id = parent_id
        self.span_id = trace.tracer.generate_span_id()
        self.started_s = started_s
        self.ended_s = 0.0
        self.outcome = "ok"
        self.failed = False
        self.attributes: dict[str, str | int] = {}

    def start(self, operation: Operation, started_s: float | None = None) -> Span:
        """Start a part of this span; `started_s` is a time of the monotonic clock."""
        return Span(self.trace, operation, self.span_id, time.monotonic() if started_s is None else started_s)

    def end(self, outcome: str = "ok", *, failed: bool = False, keep: bool = False) -> None:
        """End the span. A failed first span, or one with `keep`, keeps the trace although it is not sampled."""
        self.ended_s = time.monotonic()
        self.outcome = outcome
        self.failed = failed
        trace = self.trace
        trace.add(self)
        if trace.first is self:
            trace.close(keep=failed or keep)

    def end_with(self, error: BaseException | None) -> None:
        """End the span with the exception that ended its block, or None."""
        self.end("ok" if error is None else describe_error(error), failed=is_failure(error))

    def to_traceparent(self) -> str:
        """Return the header by which another process continues the trace under this span."""
        return format_traceparent(self.trace.trace_id, self.span_id, is_sampled=self.trace.is_kept)


class Trace:
    """The part of a trace in this process. `link` is the `traceparent` of a trace that caused this one."""

    __slots__ = ("_held", "epoch_s", "first", "is_kept", "link", "trace_id", "tracer")

    def __init__(self, tracer: Tracer, trace_id: TraceId, link: str, *, is_sampled: bool) -> None:
        self.tracer = tracer
        self.trace_id = trace_id
        self.link = link
        self.is_kept = is_sampled
        self.first: Span | None = None
        self.epoch_s = time.time() - time.monotonic()
        self._held: list[Span] | None = []

    def add(self, span: Span) -> None:
        """Record a finished span, or hold it."""
        if self.is_kept:
            self.tracer.sink.record(span)
        elif self._held is not None and len(self._held) < HELD_SPANS:
            self._held.append(span)

    def close(self, *, keep: bool) -> None:
        """Record or forget the spans that were held."""
        held, self._held = self._held, None
        if keep and not self.is_kept and self.tracer.may_keep():
            self.is_kept = True
            for span in held or ():
                self.tracer.sink.record(span)


class Tracer:
    """Starts traces; `sampling` is the share that is kept in any case. At 0 nothing is traced."""

    def __init__(self, *, sink: SpanSink, sampling: float, clock: Clock, rng: Random) -> None:
        self.sink = sink
        self.sampling = sampling
        self._clock = clock
        self._rng = rng
        self._kept_in_s = (0, 0)

    def start(
        self, operation: Operation, parent: TraceParent | None = None, *, trace_id: str = "", link: str = ""
    ) -> Span | None:
        """Start the first span of a trace in this process; None where nothing is traced.

        With a `parent` it continues that trace, and the parent's decision on sampling applies.
        """
        if self.sampling <= 0:
            return None
        is_sampled = self._rng.random() < self.sampling if parent is None else parent.is_sampled
        found = parent.trace_id if parent else TraceId(trace_id) or ids.generate(TraceId, self._clock.now())
        trace = Trace(self, found, link, is_sampled=is_sampled)
        span = trace.first = Span(trace, operation, parent.span_id if parent else 0, time.monotonic())
        return span

    def sample(self) -> bool:
        """Decide on a trace whose id another party has chosen."""
        return self._rng.random() < self.sampling

    def generate_span_id(self) -> int:
        """Generate an id, which is not 0."""
        return self._rng.getrandbits(64) or 1

    def may_keep(self) -> bool:
        """Whether one more unsampled trace may be kept in this second."""
        second, count = self._kept_in_s
        now_s = int(time.monotonic())
        self._kept_in_s = (now_s, count + 1 if second == now_s else 1)
        return self._kept_in_s[1] <= KEPT_PER_S


def describe_error(error: BaseException) -> str:
    """Name an exception. Its message is left to the log, because it may contain personal data."""
    if isinstance(error, Problem):
        return error.kind()
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__


def is_failure(error: BaseException | None) -> bool:
    """Whether an exception is a fault of the system: neither a refusal nor the end of a call that was given up."""
    return error.status >= 500 if isinstance(error, Problem) else isinstance(error, Exception)


def format_traceparent(trace_id: str, span_id: int = 0, *, is_sampled: bool = False) -> str:
    """Format a W3C `traceparent` header. Raises ValueError for a trace id that is not an id."""
    trace = to_hex(trace_id)
    return f"00-{trace}-{f'{span_id:016x}' if span_id else trace[16:]}-{'01' if is_sampled else '00'}"


def parse_traceparent(header: str) -> TraceParent | None:
    """Parse a W3C `traceparent` header; None when it is missing or malformed."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None or (match[1] == "00" and match[5]):  # later versions may add fields
        return None
    return TraceParent(from_hex(match[2]), int(match[3], 16), bool(int(match[4], 16) & 1))


def to_hex(trace_id: str) -> str:
    """Return a trace id in OpenTelemetry's form. Raises ValueError."""
    return ids.decode(trace_id).hex


def from_hex(trace_id: str) -> TraceId:
    """Return a trace id in our form. Raises ValueError."""
    return TraceId(f"{ids.PREFIXES[TraceId]}_{ids.encode(uuid.UUID(hex=trace_id))}")
