"""The HTTP encoding of calls: paths, headers, and problem documents."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from matinee.kit.problem import Fault, Invalid, Problem
from matinee.mesh.api import ServiceFailed

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
DEADLINE: Final = "x-deadline-ms"
TRACE: Final = "traceparent"
# Marks a response given before any work was done, so that the call may safely go to another instance.
REFUSED: Final = "x-mesh-refused"

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
