"""What crosses a wire: JSON, problem documents, and the headers that go with a call."""

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
# Set on an answer that was given before any work was done, so that the call may safely go elsewhere.
REFUSED: Final = "x-mesh-refused"

_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_WHERE = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_decoder = msgspec.json.Decoder(dict[str, Any])


def path(domain: str, method: str) -> str:
    """Where a method is served."""
    return f"/rpc/{domain}/{method}"


def encode_problem(problem: Problem, trace_id: str = "") -> bytes:
    """A problem document (RFC 9457)."""
    return msgspec.json.encode(problem.to_document(trace_id))


def decode_problem(body: bytes, service: str, trace_id: str = "") -> Problem:
    """The problem in a document; a kind unknown here, or no document at all, is a `ServiceFailed`."""
    try:
        return Problem.from_document(_decoder.decode(body))
    except ValueError as error:
        return ServiceFailed(service=service, trace_id=trace_id, detail=f"The answer is not understood: {error}")


def invalid(error: msgspec.DecodeError) -> Invalid:
    """What is wrong with a body, and where."""
    found = _WHERE.fullmatch(str(error))
    message, field = found.groups() if found else (str(error), "")
    return Invalid(faults=[Fault(field, message)])


def trace_parent(trace_id: str) -> str | None:
    """A trace id in the form of W3C Trace Context; None where it is no id."""
    try:
        trace = ids.decode(trace_id).hex
    except ValueError:
        return None
    return f"00-{trace}-{trace[16:]}-01"


def trace_id(header: str | None) -> TraceId | None:
    """The trace id in a `traceparent` header; None where there is none, or it is malformed or all zero."""
    found = _TRACE_PARENT.fullmatch(header or "")
    if found is None or not int(found[1], 16):
        return None
    return TraceId(f"{ids.PREFIXES[TraceId]}_{ids.encode(uuid.UUID(hex=found[1]))}")
