"""The HTTP encoding of calls: paths, headers, and problem documents."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

import msgspec

from matinee.kit import ids
from matinee.kit.ids import TraceId
from matinee.kit.problem import Fault, Invalid, Problem
from matinee.mesh.api import ServiceFailed

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
DEADLINE: Final = "x-deadline-ms"
TRACE: Final = "traceparent"
# Marks a response given before any work was done, so that the call may safely go to another instance.
REFUSED: Final = "x-mesh-refused"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_FIELD = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_decoder = msgspec.json.Decoder(dict[str, Any])


def rpc_path(domain: str, method: str) -> str:
    """Return the path of a method."""
    return f"/rpc/{domain}/{method}"


def encode_problem(problem: Problem, trace_id: str = "") -> bytes:
    """Encode a problem as a problem document (RFC 9457)."""
    return msgspec.json.encode(problem.to_document(trace_id))


def decode_problem(body: bytes, service: str, trace_id: str = "") -> Problem:
    """Decode a problem document; an unknown type or anything else becomes a `ServiceFailed`."""
    try:
        return Problem.from_document(_decoder.decode(body))
    except ValueError as error:
        return ServiceFailed(service=service, trace_id=trace_id, detail=f"The response cannot be read: {error}")


def to_invalid(error: msgspec.DecodeError) -> Invalid:
    """Convert a decoding error to a problem that names the field."""
    match = _FIELD.fullmatch(str(error))
    message, field = match.groups() if match else (str(error), "")
    return Invalid(faults=[Fault(field, message)])


def to_traceparent(trace_id: str) -> str | None:
    """Convert a trace id to a W3C `traceparent` header; None when it is not an id."""
    try:
        trace = ids.decode(trace_id).hex
    except ValueError:
        return None
    return f"00-{trace}-{trace[16:]}-01"


def parse_traceparent(header: str | None) -> TraceId | None:
    """Return the trace id of a `traceparent` header; None when it is missing, malformed or all zero."""
    match = _TRACEPARENT.fullmatch(header or "")
    if match is None or not int(match[1], 16):
        return None
    return TraceId(f"{ids.PREFIXES[TraceId]}_{ids.encode(uuid.UUID(hex=match[1]))}")
