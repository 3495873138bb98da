"""Routes: what is retried, how long it may take, whether a token is asked for (envoy.config.route.v3)."""

from __future__ import annotations

from typing import Any

from matinee.gateway.adapters.envoy.clusters import TYPE, seconds
from matinee.gateway.model.proxy import Listener, ProxyConfig, Retrying, Route

JWT = "envoy.filters.http.jwt_authn"
BODY_LIMIT = "envoy.filters.http.buffer"
PROXY_HEADER = "x-matinee-proxy"
PROVIDER = "matinee"
_HTTP = f"{TYPE}envoy.extensions.filters.http"
_UNSENT = "connect-failure,refused-stream,reset-before-request"
_RETRY_ON: dict[Retrying, str] = {
    "unsent": _UNSENT,
    "lost": f"{_UNSENT},reset",
    "failed": f"{_UNSENT},reset,5xx",
}


def routes(said: Listener, front: ProxyConfig) -> dict[str, Any]:
    """A listener's routes, for every host name."""
    return {
        "@type": f"{TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": said.name,
        "virtual_hosts": [
            {"name": said.name, "domains": ["*"], "routes": [_route(route, said) for route in said.routes]}
        ],
        "request_headers_to_add": [_header(PROXY_HEADER, front.secret)],
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _route(route: Route, said: Listener) -> dict[str, Any]:
    if route.refused:
        return {"match": _match(route), "direct_response": {"status": 404}}
    return {
        "match": _match(route),
        "route": _action(route),
        "typed_per_filter_config": _per_filter(route, said),
    }


def _match(route: Route) -> dict[str, Any]:
    match: dict[str, Any]
    if route.pattern:
        match = {"safe_regex": {"regex": route.pattern}}
    else:
        match = {"path": route.path} if route.path else {"prefix": route.prefix}
    if route.methods:
        methods = {"safe_regex": {"regex": "|".join(route.methods)}}
        match["headers"] = [{"name": ":method", "string_match": methods}]
    return match


def _action(route: Route) -> dict[str, Any]:
    action: dict[str, Any] = {
        "cluster": route.cluster,
        "timeout": seconds(route.timeout_ms),
        "idle_timeout": seconds(route.idle_ms),
    }
    if route.retries:
        action["retry_policy"] = _retry(route)
    if route.rewrite:
        action["prefix_rewrite"] = route.rewrite
    return action


def _retry(route: Route) -> dict[str, Any]:
    return {
        "retry_on": _RETRY_ON[route.retrying],
        "num_retries": route.retries,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
        # Another instance, not the one that just failed.
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 16,
    }


def _per_filter(route: Route, said: Listener) -> dict[str, Any]:
    body: dict[str, Any] = (
        {"buffer": {"max_request_bytes": route.body_limit_bytes}} if route.body_limit_bytes else {"disabled": True}
    )
    per_filter = {BODY_LIMIT: {"@type": f"{_HTTP}.buffer.v3.BufferPerRoute", **body}}
    if any(other.signed_in for other in said.routes):
        token = {"requirement_name": PROVIDER} if route.signed_in else {"disabled": True}
        per_filter[JWT] = {"@type": f"{_HTTP}.jwt_authn.v3.PerRouteConfig", **token}
    return per_filter
