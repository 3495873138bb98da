"""Responses that Envoy makes itself, as problem documents."""

from __future__ import annotations

from typing import Any

from matinee.gateway.api.problems import Malformed, NoSuchPage, TooManyRequests
from matinee.kit.problem import DeadlineExceeded, Problem, TooLarge, Unauthenticated, Unreachable

PROBLEM_JSON = "application/problem+json"
_RETRY_AFTER_S = 1


def local_replies() -> dict[str, Any]:
    """Return a mapper for each status that Envoy may respond with, and a format for all others."""
    problems: dict[int, Problem] = {
        400: Malformed(detail="The request is malformed."),
        401: Unauthenticated(),
        403: Unauthenticated(),  # a token of another deployment
        404: NoSuchPage(),
        413: TooLarge(limit_bytes=0),
        429: TooManyRequests(retry_after_ms=_RETRY_AFTER_S * 1000),
        503: Unreachable(service="gateway"),
        504: DeadlineExceeded(service="gateway"),
    }
    fallback = {"type": "about:blank", "title": "%RESPONSE_CODE_DETAILS%", "status": "%RESPONSE_CODE%"}
    return {
        "mappers": [_build_mapper(status, problem) for status, problem in problems.items()],
        "body_format": _build_json_format(fallback),
    }


def _build_mapper(status: int, problem: Problem) -> dict[str, Any]:
    document = problem.to_document()
    if status == 413:
        del document["limit_bytes"]
    retry_after = {"header": {"key": "retry-after", "value": str(_RETRY_AFTER_S)}}
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"answers.{status}"}}
            }
        },
        "status_code": problem.status,
        "body_format_override": _build_json_format(document),
        "headers_to_add": [retry_after] if status in {429, 503} else [],
    }


def _build_json_format(document: dict[str, Any]) -> dict[str, Any]:
    return {"json_format": document, "content_type": PROBLEM_JSON}
