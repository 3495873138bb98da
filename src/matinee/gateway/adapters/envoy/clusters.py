"""Clusters and endpoints (envoy.config.cluster.v3, envoy.config.endpoint.v3)."""

from __future__ import annotations

from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from matinee.gateway.model.proxy import Cluster
from matinee.kit.hashing import sha256_hex

TYPE = "type.googleapis.com/"


def seconds(milliseconds: int) -> str:
    """A protobuf duration: `1.500s`."""
    return f"{milliseconds / 1000:.3f}s"


def followed(path: Path) -> dict[str, Any]:
    """A file to be followed."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def cluster(said: Cluster, folder: Path) -> dict[str, Any]:
    """A cluster whose endpoints are in a file of their own."""
    made: dict[str, Any] = {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster",
        "name": said.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": followed(folder / f"endpoints-{said.name}.json")},
        "connect_timeout": seconds(said.connect_ms),
        # Not by least load: a dead instance has the least of all, and every retry would go there again.
        "lb_policy": "ROUND_ROBIN",
        "per_connection_buffer_limit_bytes": 1 << 20,
        "health_checks": [_health_check(said)],
        # While not one is known to be well, all are tried: they may be so new that nobody has looked at them yet.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "outlier_detection": _outliers(said),
        "circuit_breakers": {"thresholds": [{"max_retries": 64, "max_requests": 4096, "max_pending_requests": 1024}]},
        # Gone from the registry is gone, whatever its health check still says.
        "ignore_health_on_host_removal": True,
    }
    if said.pinned:
        made["transport_socket"] = _upstream_tls(said)
    return made


def endpoints(said: Cluster) -> dict[str, Any]:
    """The instances of a cluster."""
    return {
        "@type": f"{TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": said.name,
        "endpoints": [{"lb_endpoints": [_endpoint(one.host, one.port) for one in said.endpoints]}],
    }


def _endpoint(host: str, port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def _health_check(said: Cluster) -> dict[str, Any]:
    every = seconds(said.health_every_ms)
    return {
        # Slow is not sick: a busy instance must not hand its load to the next. A dead one is found by its callers.
        "timeout": "3s",
        "interval": every,
        # Without this a cluster that has had no traffic yet is looked at once a minute.
        "no_traffic_interval": every,
        "no_traffic_healthy_interval": every,
        "unhealthy_interval": every,
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
        "reuse_connection": True,
        "http_health_check": {"path": said.health_path, "host": "matinee"},
    }


def _outliers(said: Cluster) -> dict[str, Any]:
    return {
        "consecutive_5xx": said.eject_after * 4,
        "consecutive_gateway_failure": said.eject_after,
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": said.eject_after,
        "interval": "1s",
        "base_ejection_time": seconds(said.eject_ms),
        "max_ejection_percent": 50,
        # A success after an ejection ends it at once.
        "successful_active_health_check_uneject_host": True,
    }


def _upstream_tls(said: Cluster) -> dict[str, Any]:
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                # Envoy cannot verify a chain whose authority is limited to addresses, as a home's is.
                "validation_context": {"verify_certificate_hash": _fingerprints(said.pinned)},
            },
        },
    }


def _fingerprints(pem: str) -> list[str]:
    """The SHA-256 of every certificate in a PEM text."""
    ends = "-----END CERTIFICATE-----"
    parts = [part + ends for part in pem.split(ends) if "-----BEGIN CERTIFICATE-----" in part]
    return [sha256_hex(PEM_cert_to_DER_cert(part.strip())) for part in parts]
