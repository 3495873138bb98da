"""Every failure as a problem document (RFC 9457); what is not expected as one opaque 500."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from matinee.gateway.api.problems import Broken, Malformed, MethodNotAllowed, NoSuchPage
from matinee.kit import context, log
from matinee.kit.problem import Fault, Invalid, Problem, TooLarge

PROBLEM_JSON = "application/problem+json"
_log = log.get()
_WHERE = re.compile(r" - at `\$\.?([^`]*)`$")


def on_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """An expected failure, said plainly; one of our own making (500) says no more than a bug does."""
    if problem.status != 500:
        return answer(problem)
    _log.error("request.broke", exc_info=problem)
    return answer(Broken())


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, in our words."""
    return answer(_translated(request, error))


def on_bug(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Anything else is a bug: the story in the log, its trace id to the caller and nothing more."""
    if isinstance(error, RecursionError):  # JSON nested deeper than anything we take
        return answer(Malformed())
    _log.error("request.broke", exc_info=error)
    return answer(Broken())


def answer(problem: Problem) -> Response[bytes]:
    """A problem as a response."""
    return Response(body(problem), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers(problem))


def body(problem: Problem) -> bytes:
    """The problem document, carrying this request's trace id."""
    return msgspec.json.encode(problem.to_document(context.current().trace_id))


def headers(problem: Problem) -> dict[str, str]:
    """What a status wants said beside it: how to sign in, when to try again."""
    found = {"WWW-Authenticate": 'Bearer realm="matinee"'} if problem.status == 401 else {}
    retry_after_ms = getattr(problem, "retry_after_ms", None)
    if retry_after_ms is not None:
        found["Retry-After"] = str(-(-int(retry_after_ms) // 1000))
    return found


def _translated(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    if isinstance(error, ValidationException):
        return Invalid(faults=_faults(error.extra))
    if error.status_code == 413:
        limit = request.route_handler.resolve_request_max_body_size()
        return TooLarge(limit_bytes=limit or 0)
    match error.status_code:
        case 404:
            return NoSuchPage()
        case 405:
            return MethodNotAllowed()
        case 400:
            return _of_body(error)
    _log.error("request.broke", exc_info=error)
    return Broken()


def _of_body(error: HTTPException) -> Problem:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, msgspec.ValidationError):
            return Invalid(faults=[_fault(str(cause))])
        cause = cause.__cause__ or cause.__context__
    return Malformed()


def _fault(message: str) -> Fault:
    where = _WHERE.search(message)
    return Fault(where.group(1) if where else "", _WHERE.sub("", message))


def _faults(extra: Any) -> list[Fault]:
    entries = extra if isinstance(extra, list) else []
    return [_named(entry) for entry in entries if isinstance(entry, dict)]


def _named(entry: dict[str, Any]) -> Fault:
    key = str(entry.get("key", ""))
    return Fault(key.removeprefix("data.").removeprefix("data"), str(entry.get("message", "is not usable")))
