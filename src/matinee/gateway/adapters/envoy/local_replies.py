"""What Envoy answers by itself, as problem documents like everybody else's."""

from __future__ import annotations

from typing import Any

from matinee.gateway.api.problems import Malformed, NoSuchPage, TooManyRequests
from matinee.kit.problem import DeadlineExceeded, Problem, TooLarge, Unauthenticated, Unreachable

PROBLEM_JSON = "application/problem+json"
RETRY_S = 1


def local_replies() -> dict[str, Any]:
    """Every status Envoy may answer with, in our words; whatever else in the words of the last."""
    problems: dict[int, Problem] = {
        400: Malformed(detail="This request cannot be understood."),
        401: Unauthenticated(),
        # A token for another deployment, which is no token here.
        403: Unauthenticated(),
        404: NoSuchPage(),
        413: TooLarge(limit_bytes=0),
        429: TooManyRequests(retry_after_ms=RETRY_S * 1000),
        503: Unreachable(service="gateway"),
        504: DeadlineExceeded(service="gateway"),
    }
    return {
        "mappers": [_mapper(status, problem) for status, problem in problems.items()],
        "body_format": _format(
            {"type": "about:blank", "title": "%RESPONSE_CODE_DETAILS%", "status": "%RESPONSE_CODE%"}
        ),
    }


def _mapper(status: int, problem: Problem) -> dict[str, Any]:
    document = problem.to_document()
    if status == 413:
        del document["limit_bytes"]
    wait = [{"header": {"key": "retry-after", "value": str(RETRY_S)}}] if status in {429, 503} else []
    return {
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"answers.{status}"}}
            }
        },
        "status_code": problem.status,
        "body_format_override": _format(document),
        "headers_to_add": wait,
    }


def _format(document: dict[str, Any]) -> dict[str, Any]:
    return {"json_format": document, "content_type": PROBLEM_JSON}
