"""Responses that Envoy makes itself, as problem documents."""

from __future__ import annotations

from typing import Any

from matinee.gateway.adapters.envoy.clusters import TYPE
from matinee.gateway.api.problems import (
    HeadersTooLarge,
    MalformedRequest,
    MethodNotAllowed,
    NoSuchPage,
    TooManyRequests,
    TooSlow,
)
from matinee.kit.problem import DeadlineExceeded, Problem, TooLarge, Unauthenticated, Unreachable

PROBLEM_JSON = "application/problem+json"
_RETRY_AFTER_S = 1


def local_replies() -> dict[str, Any]:
    """Return a mapper for each status that Envoy may respond with, and a format for all others."""
    mappers = [
        _build_mapper(_match(400), MalformedRequest()),
        _build_mapper(_match(401), Unauthenticated()),
        # Envoy says 403 to a token that it does not accept, to CONNECT, to upgrades, and to https without TLS.
        _build_mapper(_match_all(_match(403), _match_token_refusal()), Unauthenticated()),
        _build_mapper(_match_all(_match(403), _match_connect()), MethodNotAllowed()),
        _build_mapper(_match(403), MalformedRequest(detail="Upgrades, and https:// without TLS, are not supported.")),
        _build_mapper(_match(404), NoSuchPage()),
        _build_mapper(_match(408), TooSlow()),
        _build_mapper(_match(413), TooLarge(limit_bytes=0)),
        _build_mapper(_match(429), TooManyRequests(retry_after_ms=_RETRY_AFTER_S * 1000)),
        _build_mapper(_match(431), HeadersTooLarge()),
        _build_mapper(_match(503), Unreachable(service="gateway")),
        _build_mapper(_match(504), DeadlineExceeded(service="gateway")),
    ]
    fallback = {"type": "about:blank", "title": "%RESPONSE_CODE_DETAILS%", "status": "%RESPONSE_CODE%"}
    return {"mappers": mappers, "body_format": _build_json_format(fallback)}


def _match(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"answers.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _match_all(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _match_connect() -> dict[str, Any]:
    return {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "CONNECT"}}}}


def _match_token_refusal() -> dict[str, Any]:
    config = {
        "@type": f"{TYPE}envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": "response.code_details.startsWith('jwt_authn')",
    }
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": config}}


def _build_mapper(match: dict[str, Any], problem: Problem) -> dict[str, Any]:
    document = problem.to_document()
    if isinstance(problem, TooLarge):
        del document["limit_bytes"]
    retry_after = {"header": {"key": "retry-after", "value": str(_RETRY_AFTER_S)}}
    return {
        "filter": match,
        "status_code": problem.status,
        "body_format_override": _build_json_format(document),
        "headers_to_add": [retry_after] if problem.status in {429, 503} else [],
    }


def _build_json_format(document: dict[str, Any]) -> dict[str, Any]:
    return {"json_format": document, "content_type": PROBLEM_JSON}
