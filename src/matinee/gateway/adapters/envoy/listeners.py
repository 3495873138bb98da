"""Listeners, their filters and certificates (envoy.config.listener.v3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from matinee.gateway.adapters.envoy.clusters import TYPE, file_source, to_duration
from matinee.gateway.adapters.envoy.local_replies import local_replies
from matinee.gateway.adapters.envoy.routes import BODY_LIMIT, JWT, PROVIDER
from matinee.gateway.model.proxy import Certificate, Listener, ProxyConfig, RateLimit, TokenCheck

_SUBJECT_HEADER = "x-matinee-subject"
_HTTP = f"{TYPE}envoy.extensions.filters.http"
# How many clients have a rate limit of their own at a time; the least recent are dropped first.
_TRACKED_CLIENTS = 20_000


def render_listener(listener: Listener, config: ProxyConfig, folder: Path) -> dict[str, Any]:
    """Render a listener with its filters."""
    chain: dict[str, Any] = {
        "filters": [{"name": "http", "typed_config": _build_connection_manager(listener, config, folder)}],
    }
    if listener.certificate:
        chain["transport_socket"] = _build_tls(listener.certificate, folder)
        chain["transport_socket_connect_timeout"] = to_duration(listener.handshake_ms)
    return {
        "@type": f"{TYPE}envoy.config.listener.v3.Listener",
        "name": listener.name,
        "address": {"socket_address": _build_address(listener)},
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [chain],
    }


def _build_address(listener: Listener) -> dict[str, Any]:
    address: dict[str, Any] = {"address": listener.host, "port_value": listener.port}
    return {**address, "ipv4_compat": True} if listener.host == "::" else address


def render_secret(certificate: Certificate) -> dict[str, Any]:
    """Render a certificate as a resource of its own, so that its renewal closes no connections."""
    return {
        "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": certificate.name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate.chain},
            "private_key": {"inline_string": certificate.private_key},
        },
    }


def _build_tls(certificate: Certificate, folder: Path) -> dict[str, Any]:
    source = file_source(folder / f"secret-{certificate.name}.json")
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [{"name": certificate.name, "sds_config": source}],
            },
        },
    }


def _build_connection_manager(listener: Listener, config: ProxyConfig, folder: Path) -> dict[str, Any]:
    routes = file_source(folder / f"routes-{listener.name}.json")
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": listener.name,
        "codec_type": "AUTO",
        "rds": {"route_config_name": listener.name, "config_source": routes},
        "http_filters": _build_filters(listener, config),
        "local_reply_config": local_replies(),
        "server_name": "matinee",
        **_detect_client(listener.trusted),
        "internal_address_config": {"cidr_ranges": []},
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "idle_timeout": to_duration(listener.idle_ms),
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        # Reverse proxies still use HTTP/1.0; nginx does by default.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {"max_concurrent_streams": 128},
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "60s",
        "max_request_headers_kb": 32,
        "delayed_close_timeout": "1s",
    }


def _detect_client(trusted: tuple[str, ...]) -> dict[str, Any]:
    """Return how Envoy finds the client's address: it is the peer's, unless the peer is a trusted proxy."""
    if not trusted:
        return {"use_remote_address": True}
    return {
        "use_remote_address": False,
        "original_ip_detection_extensions": [
            {
                "name": "envoy.http.original_ip_detection.xff",
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
                    "xff_trusted_cidrs": {"cidrs": [_to_cidr(network) for network in trusted]},
                },
            }
        ],
        # With `use_remote_address` Envoy removes these itself: they change retries and timeouts.
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}],
                },
            }
        ],
    }


def _to_cidr(network: str) -> dict[str, Any]:
    prefix, _, length = network.partition("/")
    return {"address_prefix": prefix, "prefix_len": int(length)}


def _build_filters(listener: Listener, config: ProxyConfig) -> list[dict[str, Any]]:
    by_address = [limit for limit in listener.limits if limit.by == "address"]
    by_subject = [limit for limit in listener.limits if limit.by == "subject"]
    # Routes without a body limit disable this filter.
    largest_body = max(route.body_limit_bytes for route in listener.routes)
    return [
        *([_build_rate_limit("limit.address", by_address)] if by_address else []),
        *([_build_jwt_filter(config.tokens)] if any(route.needs_token for route in listener.routes) else []),
        *([_build_rate_limit("limit.subject", by_subject)] if by_subject else []),
        _filter(BODY_LIMIT, "buffer.v3.Buffer", {"max_request_bytes": largest_body}),
        _filter("envoy.filters.http.router", "router.v3.Router", {"suppress_envoy_headers": True}),
    ]


def _filter(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_HTTP}.{kind}", **config}}


def _build_jwt_filter(check: TokenCheck) -> dict[str, Any]:
    provider = {
        "issuer": check.issuer,
        "audiences": [check.audience],
        "local_jwks": {"inline_string": msgspec.json.encode(check.keys).decode()},
        # Without this Envoy accepts tokens in queries as well.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward": True,
        "clock_skew_seconds": 1,
        "claim_to_headers": [{"header_name": _SUBJECT_HEADER, "claim_name": "sub"}],
        "jwt_cache_config": {"jwt_cache_size": 2048},
    }
    requirement = {"provider_name": PROVIDER}
    config = {"providers": {PROVIDER: provider}, "requirement_map": {PROVIDER: requirement}}
    return _filter(JWT, "jwt_authn.v3.JwtAuthentication", config)


def _build_rate_limit(name: str, limits: list[RateLimit]) -> dict[str, Any]:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "stat_prefix": name.replace(".", "_"),
        # The bucket for all clients together is practically unlimited: one client must not exhaust it for others.
        "token_bucket": {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limits": [
            {"actions": [_match_prefix(limit, prefix), _identify_client(limit)]}
            for limit in limits
            for prefix in limit.prefixes
        ],
        "descriptors": [_build_descriptor(limit) for limit in limits],
        "max_dynamic_descriptors": _TRACKED_CLIENTS,
    }
    return _filter(name, "local_ratelimit.v3.LocalRateLimit", config)


def _match_prefix(limit: RateLimit, prefix: str) -> dict[str, Any]:
    path = {"name": ":path", "string_match": {"prefix": prefix}}
    return {"header_value_match": {"descriptor_key": "limit", "descriptor_value": limit.name, "headers": [path]}}


def _identify_client(limit: RateLimit) -> dict[str, Any]:
    if limit.by == "address":
        return {"remote_address": {}}
    return {"request_headers": {"header_name": _SUBJECT_HEADER, "descriptor_key": "subject"}}


def _build_descriptor(limit: RateLimit) -> dict[str, Any]:
    key = "remote_address" if limit.by == "address" else "subject"
    # One token per fill, as often as the rate requires; the interval is at least a second.
    fill_s = max(1, 60 // limit.per_minute)
    return {
        "entries": [{"key": "limit", "value": limit.name}, {"key": key}],
        "token_bucket": {
            "max_tokens": limit.burst,
            "tokens_per_fill": max(1, round(limit.per_minute * fill_s / 60)),
            "fill_interval": to_duration(fill_s * 1000),
        },
    }
