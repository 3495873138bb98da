"""`matinee trace`: the traces in the files of a data directory, and one of them as a waterfall."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click
import msgspec

from matinee.cli.options import json_option, with_settings
from matinee.cli.output import print_json, show
from matinee.drivers.telemetry import SpanRecord, read_records
from matinee.kit import tracing
from matinee.kit.problem import Problem
from matinee.mesh.hosting.settings import Settings

BAR: Final = 24
# Attributes that the name of the span already says.
_HIDDEN: Final = re.compile(r"rpc\..*|db\.system\.name|db\.operation\.name|http\.request\.method|http\.route")
_HEX: Final = re.compile(r"(?:00-)?([0-9a-fA-F]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")


class UnknownTrace(Problem, status=404):
    """There is no such trace."""


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One trace in the list; its name is that of its first span."""

    trace_id: str
    started_at: datetime
    duration_us: int
    name: str
    spans: int
    failed: bool


@click.command()
@click.argument("trace_id", required=False)
@click.option(
    "--limit",
    default=20,
    type=click.IntRange(min=1),
    show_default=True,
    help="The number of traces to list, newest first.",
)
@json_option
@with_settings
def trace(settings: Settings, trace_id: str | None, limit: int, json_: bool) -> None:
    """Print the waterfall of a trace; without an id list the latest traces."""
    folder = Path(settings.telemetry.folder)
    if trace_id is None:
        found = sorted(_summarise(read_records(folder)), key=lambda one: one.started_at, reverse=True)[:limit]
        headings = ("trace", "started", "took", "spans", "status", "operation")
        show(found, headings, _trace_cells, as_json=json_, empty=_explain_absence(settings, "trace"))
        return
    spans = sorted(read_records(folder, _to_hex(trace_id)), key=lambda span: span.started_at)
    if not spans:
        raise UnknownTrace(detail=_explain_absence(settings, f"trace {trace_id}"))
    print_json(spans) if json_ else _print_waterfall(spans)


def _to_hex(trace_id: str) -> str:
    """Return an id in OpenTelemetry's form, from either form or from a `traceparent`. Raises UnknownTrace."""
    if found := _HEX.fullmatch(trace_id):
        return found[1].lower()
    try:
        return tracing.to_hex(trace_id)
    except ValueError:
        raise UnknownTrace(
            detail=f"{trace_id[:64]!r} is not a trace id: it is `trc_…` or 32 hexadecimal digits."
        ) from None


def _explain_absence(settings: Settings, what: str) -> str:
    telemetry = settings.telemetry
    if telemetry.otlp_url:
        return f"There is no {what} in {telemetry.folder}: traces go to {telemetry.otlp_url}."
    share = "only the share telemetry.sampling of the requests is traced, and those that fail or are slow"
    return f"There is no {what} in {telemetry.folder}: {share}."


def _summarise(records: Iterable[SpanRecord]) -> Iterator[TraceSummary]:
    traces: dict[str, list[SpanRecord]] = defaultdict(list)
    for record in records:
        traces[record.trace_id].append(record)
    for trace_id, spans in traces.items():
        first = min(spans, key=lambda span: span.started_at)
        yield TraceSummary(
            trace_id=tracing.from_hex(trace_id),
            started_at=first.started_at,
            duration_us=round((_end(spans) - first.started_at) / timedelta(microseconds=1)),
            name=first.name,
            spans=len(spans),
            failed=any(span.failed for span in spans),
        )


def _end(spans: Iterable[SpanRecord]) -> datetime:
    return max(span.started_at + timedelta(microseconds=span.duration_us) for span in spans)


def _trace_cells(trace: TraceSummary) -> Iterable[object]:
    started, took = _to_text(trace.started_at), _to_ms(trace.duration_us)
    return trace.trace_id, started, took, trace.spans, "failed" if trace.failed else "ok", trace.name


def _print_waterfall(spans: list[SpanRecord]) -> None:
    begin = spans[0].started_at
    total_us = max(1, round((_end(spans) - begin) / timedelta(microseconds=1)))
    trace_id = spans[0].trace_id
    count = "1 span" if len(spans) == 1 else f"{len(spans)} spans"
    click.echo(f"{tracing.from_hex(trace_id)} ({trace_id}), {_to_text(begin)}, {_to_ms(total_us)}, {count}")

    def to_cells(row: tuple[int, SpanRecord]) -> Iterable[object]:
        depth, span = row
        offset_us = round((span.started_at - begin) / timedelta(microseconds=1))
        bar, name = _draw_bar(offset_us, span.duration_us, total_us), "  " * depth + span.name
        took, attributes = f"{_to_ms(span.duration_us):>10}", _describe_attributes(span)
        return f"{_to_ms(offset_us):>10}", took, bar, name, span.service, span.outcome, attributes

    headings = (f"{'offset':>10}", f"{'took':>10}", "", "operation", "service", "status", "attributes")
    show(list(_walk(spans)), headings, to_cells)


def _walk(spans: list[SpanRecord]) -> Iterator[tuple[int, SpanRecord]]:
    """Yield every span after its parent, with its depth. A span whose parent is elsewhere starts a tree."""
    known = {span.span_id for span in spans}
    children: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else ""].append(span)
    waiting = [(0, span) for span in reversed(children[""])]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        waiting += [(depth + 1, child) for child in reversed(children[span.span_id])]


def _draw_bar(offset_us: int, duration_us: int, total_us: int) -> str:
    start = min(BAR - 1, offset_us * BAR // total_us)
    return " " * start + "█" * max(1, min(BAR - start, round(duration_us * BAR / total_us)))


def _describe_attributes(span: SpanRecord) -> str:
    shown = {name: value for name, value in span.attributes.items() if not _HIDDEN.fullmatch(name)}
    if cause := tracing.parse_traceparent(span.link):
        shown["link"] = cause.trace_id
    return " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in shown.items())


def _to_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _to_ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms"
