"""Listeners, their filters and certificates (envoy.config.listener.v3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from matinee.gateway.adapters.envoy import local_replies
from matinee.gateway.adapters.envoy.clusters import TYPE, followed, seconds
from matinee.gateway.adapters.envoy.routes import BODY_LIMIT, JWT, PROVIDER, routes
from matinee.gateway.model.proxy import Certificate, Limit, Listener, ProxyConfig, TokenRule

__all__ = ["listener", "routes", "secret"]
SUBJECT_HEADER = "x-matinee-subject"
ROUTER = "envoy.filters.http.router"
_HTTP = f"{TYPE}envoy.extensions.filters.http"
# As many clients as are told apart at a time; the ones unseen for longest are forgotten first.
_CLIENTS = 20_000


def listener(said: Listener, front: ProxyConfig, folder: Path) -> dict[str, Any]:
    """A listener with everything between the socket and the clusters."""
    chain: dict[str, Any] = {
        "filters": [{"name": "http", "typed_config": _connections(said, front, folder)}],
    }
    if said.certificate:
        chain["transport_socket"] = _tls(said.certificate, folder)
    return {
        "@type": f"{TYPE}envoy.config.listener.v3.Listener",
        "name": said.name,
        "address": {"socket_address": {"address": said.host, "port_value": said.port}},
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [chain],
    }


def secret(certificate: Certificate) -> dict[str, Any]:
    """A certificate as a secret of its own, so that a renewed one closes no connection."""
    return {
        "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": certificate.name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate.chain},
            "private_key": {"inline_string": certificate.private_key},
        },
    }


def _tls(certificate: Certificate, folder: Path) -> dict[str, Any]:
    source = followed(folder / f"secret-{certificate.name}.json")
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


def _connections(said: Listener, front: ProxyConfig, folder: Path) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": said.name,
        "codec_type": "AUTO",
        "rds": {"route_config_name": said.name, "config_source": followed(folder / f"routes-{said.name}.json")},
        "http_filters": _filters(said, front),
        "local_reply_config": local_replies.local_replies(),
        "server_name": "matinee",
        # The peer's own address is the client's: nothing stands before us, and nobody's word is taken for it.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": []},
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {"max_concurrent_streams": 128},
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "60s",
        "max_request_headers_kb": 32,
        "delayed_close_timeout": "1s",
    }


def _filters(said: Listener, front: ProxyConfig) -> list[dict[str, Any]]:
    by_address = [limit for limit in said.limits if limit.by == "address"]
    by_subject = [limit for limit in said.limits if limit.by == "subject"]
    return [
        *([_limited("limit.address", by_address)] if by_address else []),
        *([_tokens(front.tokens)] if any(route.signed_in for route in said.routes) else []),
        *([_limited("limit.subject", by_subject)] if by_subject else []),
        # Below the limit of any route that has one; a route without says so itself.
        _filter(BODY_LIMIT, "buffer.v3.Buffer", {"max_request_bytes": _largest(said)}),
        _filter(ROUTER, "router.v3.Router", {"suppress_envoy_headers": True}),
    ]


def _largest(said: Listener) -> int:
    return max(route.body_limit_bytes for route in said.routes)


def _filter(name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_HTTP}.{kind}", **config}}


def _tokens(rule: TokenRule) -> dict[str, Any]:
    provider = {
        "issuer": rule.issuer,
        "audiences": [rule.audience],
        "local_jwks": {"inline_string": msgspec.json.encode(rule.keys).decode()},
        # Named, so that a token is never taken from a query.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward": True,
        "clock_skew_seconds": 1,
        "claim_to_headers": [{"header_name": SUBJECT_HEADER, "claim_name": "sub"}],
        "jwt_cache_config": {"jwt_cache_size": 2048},
    }
    requirement = {"provider_name": PROVIDER}
    config = {"providers": {PROVIDER: provider}, "requirement_map": {PROVIDER: requirement}}
    return _filter(JWT, "jwt_authn.v3.JwtAuthentication", config)


def _limited(name: str, limits: list[Limit]) -> dict[str, Any]:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "stat_prefix": name.replace(".", "_"),
        # For all together there is no limit: one client must not use up another's.
        "token_bucket": {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limits": [{"actions": [_below(limit), _client(limit)]} for limit in limits],
        "descriptors": [_descriptor(limit) for limit in limits],
        "max_dynamic_descriptors": _CLIENTS,
    }
    return _filter(name, "local_ratelimit.v3.LocalRateLimit", config)


def _below(limit: Limit) -> dict[str, Any]:
    path = {"name": ":path", "string_match": {"prefix": limit.prefix}}
    return {"header_value_match": {"descriptor_key": "limit", "descriptor_value": limit.name, "headers": [path]}}


def _client(limit: Limit) -> dict[str, Any]:
    if limit.by == "address":
        return {"remote_address": {}}
    return {"request_headers": {"header_name": SUBJECT_HEADER, "descriptor_key": "subject"}}


def _descriptor(limit: Limit) -> dict[str, Any]:
    key = "remote_address" if limit.by == "address" else "subject"
    # One token at a time, as often as the rate says, but whole seconds at least.
    fill_s = max(1, 60 // limit.per_minute)
    return {
        "entries": [{"key": "limit", "value": limit.name}, {"key": key}],
        "token_bucket": {
            "max_tokens": limit.burst,
            "tokens_per_fill": max(1, round(limit.per_minute * fill_s / 60)),
            "fill_interval": seconds(fill_s * 1000),
        },
    }
