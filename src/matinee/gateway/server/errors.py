"""Turns every failure into a problem document (RFC 9457). Unexpected ones become an opaque 500."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from functools import partial
from typing import Any

import msgspec
from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException, ValidationException

from matinee.gateway.api.problems import Broken, Malformed, MethodNotAllowed, NoSuchPage
from matinee.gateway.server.state import RECORDED_ACT, HttpRequest
from matinee.kit import context, log
from matinee.kit.problem import Fault, Invalid, Problem, TooLarge

PROBLEM_JSON = "application/problem+json"
_log = log.get()
_NO_BODY = repr("data")  # what Litestar says of a missing body
_FIELD_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def on_problem(request: HttpRequest, problem: Problem) -> Response[bytes]:
    """Answer an expected failure. A problem with status 500 is reported like an unexpected one."""
    if problem.status != 500:
        return _respond(request, problem)
    _log.error("request.failed", exc_info=problem)
    return _respond(request, Broken())


def on_http_exception(request: HttpRequest, error: HTTPException) -> Response[bytes]:
    """Answer a request that Litestar refuses."""
    return _respond(request, _translate(request, error))


def on_exception(request: HttpRequest, error: Exception) -> Response[bytes]:
    """Answer an unexpected failure with its trace id only; the log has the details."""
    if isinstance(error, RecursionError | UnicodeDecodeError):  # JSON nested too deeply, or not UTF-8
        return _respond(request, Malformed())
    _log.error("request.failed", exc_info=error)
    return _respond(request, Broken())


def encode(problem: Problem) -> bytes:
    """Encode the problem document, with the trace id of this request."""
    return msgspec.json.encode(problem.to_document(context.current().trace_id))


def list_headers(problem: Problem) -> dict[str, str]:
    """Return the headers of a problem's response."""
    headers = {"WWW-Authenticate": 'Bearer realm="matinee"'} if problem.status == 401 else {}
    retry_after_ms = getattr(problem, "retry_after_ms", None)
    if retry_after_ms is not None:
        headers["Retry-After"] = str(-(-int(retry_after_ms) // 1000))
    return headers


def _respond(request: HttpRequest, problem: Problem) -> Response[bytes]:
    headers = list_headers(problem)
    background = None
    if problem.status < 500 and (record_act := request.scope.get("state", {}).get(RECORDED_ACT)):
        background = BackgroundTask(_record_refusal, record_act, problem)
    return Response(
        encode(problem), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers, background=background
    )


async def _record_refusal(record_act: partial[Awaitable[None]], refusal: Problem) -> None:
    """Add a refused act to the audit log. The answer has been sent: where that fails, only the log can tell."""
    detail = f"{record_act.keywords['detail']} {refusal.kind()}"
    try:
        await record_act(detail=detail, is_refused=True)
    except Problem as error:
        _log.error("audit.not_written", detail=detail, error=str(error))


def _translate(request: HttpRequest, error: HTTPException) -> Problem:
    if isinstance(error, ValidationException):
        return Invalid(faults=_to_faults(error))
    match error.status_code:
        case 400:
            return _translate_body_error(error)
        case 404:
            return NoSuchPage()
        case 405:
            return MethodNotAllowed()
        case 413:
            return TooLarge(limit_bytes=request.route_handler.resolve_request_max_body_size() or 0)
    _log.error("request.failed", exc_info=error)
    return Broken()


def _translate_body_error(error: HTTPException) -> Problem:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, msgspec.ValidationError):
            message = str(cause)
            path = _FIELD_PATH.search(message)
            return Invalid(faults=[Fault(path.group(1) if path else "", _FIELD_PATH.sub("", message))])
        cause = cause.__cause__ or cause.__context__
    return Malformed()


def _to_faults(error: ValidationException) -> list[Fault]:
    if not isinstance(error.extra, list):  # a missing parameter
        return [Fault("", error.detail)]
    return [_to_fault(entry) for entry in error.extra if isinstance(entry, dict)]


def _to_fault(entry: dict[str, Any]) -> Fault:
    key, message = str(entry.get("key", "")), str(entry.get("message", "is invalid"))
    if message == _NO_BODY:
        return Fault("", "This request needs a JSON body.")
    return Fault(key.removeprefix("data.").removeprefix("data"), message)
