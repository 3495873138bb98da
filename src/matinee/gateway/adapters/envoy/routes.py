"""Routes with their retries, timeouts and required tokens (envoy.config.route.v3)."""

from __future__ import annotations

from typing import Any

from matinee.gateway.adapters.envoy.clusters import TYPE, to_duration
from matinee.gateway.model.proxy import SAFE_METHODS, Listener, ProxyConfig, RetryCondition, Route

JWT = "envoy.filters.http.jwt_authn"
BODY_LIMIT = "envoy.filters.http.buffer"
PROVIDER = "matinee"
_PROXY_HEADER = "x-matinee-proxy"
_HTTP = f"{TYPE}envoy.extensions.filters.http"
_UNSENT = "connect-failure,refused-stream,reset-before-request"
_RETRY_ON: dict[RetryCondition, str] = {
    "unsent": _UNSENT,
    "lost": f"{_UNSENT},reset",
    "failed": f"{_UNSENT},reset,5xx",
}

# Envoy refuses CONNECT (`upgrade_configs` does not have it) where a route matches it; else the client waits.
_CONNECT = {"match": {"connect_matcher": {}}, "direct_response": {"status": 405}}


def render_routes(listener: Listener, config: ProxyConfig) -> dict[str, Any]:
    """Render the routes of a listener, for every host name."""
    routes = [_CONNECT, *(_build_route(route, listener) for route in listener.routes)]
    headers = {_PROXY_HEADER: config.secret, "x-forwarded-for": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    return {
        "@type": f"{TYPE}envoy.config.route.v3.RouteConfiguration",
        "name": listener.name,
        "virtual_hosts": [{"name": listener.name, "domains": ["*"], "routes": routes}],
        "request_headers_to_add": [_overwrite(name, value) for name, value in headers.items()],
    }


def _overwrite(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _build_route(route: Route, listener: Listener) -> dict[str, Any]:
    if route.hidden:
        return {"match": _build_match(route), "direct_response": {"status": 404}}
    return {
        "match": _build_match(route),
        "route": _build_action(route),
        "typed_per_filter_config": _build_filter_settings(route, listener),
    }


def _build_match(route: Route) -> dict[str, Any]:
    match: dict[str, Any]
    if route.pattern:
        match = {"safe_regex": {"regex": route.pattern}}
    else:
        match = {"path": route.path} if route.path else {"prefix": route.prefix}
    if route.methods:
        methods = {"safe_regex": {"regex": "|".join(route.methods)}}
        match["headers"] = [{"name": ":method", "string_match": methods}]
    return match


def _build_action(route: Route) -> dict[str, Any]:
    action: dict[str, Any] = {
        "cluster": route.cluster,
        "timeout": to_duration(route.timeout_ms),
        "idle_timeout": to_duration(route.idle_ms),
    }
    if route.stream_ms:
        action["max_stream_duration"] = {"max_stream_duration": to_duration(route.stream_ms)}
    if route.retries:
        action["retry_policy"] = _retry_policy(route)
    if route.rewrite:
        action["prefix_rewrite"] = route.rewrite
    return action


def _retry_policy(route: Route) -> dict[str, Any]:
    other_hosts = {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {"@type": f"{TYPE}envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
    }
    return {
        "retry_on": _RETRY_ON[route.retry_if],
        "num_retries": route.retries,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
        "retry_host_predicate": [other_hosts],
        "host_selection_retry_max_attempts": 16,
    }


def _build_filter_settings(route: Route, listener: Listener) -> dict[str, Any]:
    limit = 1 if route.methods and set(route.methods) <= set(SAFE_METHODS) else route.body_limit_bytes
    body: dict[str, Any] = {"buffer": {"max_request_bytes": limit}} if limit else {"disabled": True}
    per_filter = {BODY_LIMIT: {"@type": f"{_HTTP}.buffer.v3.BufferPerRoute", **body}}
    if any(other.needs_token for other in listener.routes):
        token = {"requirement_name": PROVIDER} if route.needs_token else {"disabled": True}
        per_filter[JWT] = {"@type": f"{_HTTP}.jwt_authn.v3.PerRouteConfig", **token}
    return per_filter
