"""Clusters and endpoints (envoy.config.cluster.v3, envoy.config.endpoint.v3)."""

from __future__ import annotations

from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from matinee.gateway.model.proxy import Cluster, Endpoint
from matinee.kit.hashing import sha256_hex

TYPE = "type.googleapis.com/"


def to_duration(milliseconds: int) -> str:
    """Format a protobuf duration: `1.500s`."""
    return f"{milliseconds / 1000:.3f}s"


def file_source(path: Path) -> dict[str, Any]:
    """Return a configuration source that follows changes of a file."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def render_cluster(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Render a cluster, with its endpoints in a file of their own."""
    rendered: dict[str, Any] = {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster",
        "name": cluster.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": file_source(folder / f"endpoints-{cluster.name}.json")},
        "connect_timeout": to_duration(cluster.connect_ms),
        # Not by least load: a dead instance has the least, and every retry would select it again.
        "lb_policy": "ROUND_ROBIN",
        "per_connection_buffer_limit_bytes": 1 << 20,
        "health_checks": [_build_health_check(cluster)],
        # If none is known to be healthy, all are tried: they may not have been checked yet.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "outlier_detection": _build_outlier_detection(cluster),
        "circuit_breakers": {"thresholds": [{"max_retries": 64, "max_requests": 4096, "max_pending_requests": 1024}]},
        # An instance that left the registry is removed even if it still answers health checks.
        "ignore_health_on_host_removal": True,
    }
    if cluster.pinned:
        rendered["transport_socket"] = _build_tls(cluster)
    return rendered


def render_endpoints(cluster: Cluster) -> dict[str, Any]:
    """Render the instances of a cluster."""
    return {
        "@type": f"{TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster.name,
        "endpoints": [{"lb_endpoints": [_build_endpoint(endpoint) for endpoint in cluster.endpoints]}],
    }


def _build_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    rendered: dict[str, Any] = {"address": {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}}
    if endpoint.health_port:
        rendered["health_check_config"] = {"port_value": endpoint.health_port}
    return {"endpoint": rendered}


def _build_health_check(cluster: Cluster) -> dict[str, Any]:
    interval = to_duration(cluster.health_interval_ms)
    return {
        # Long, because a busy instance must not pass its load to the next. A dead one is found by its callers.
        "timeout": "3s",
        "interval": interval,
        # The default for a cluster without traffic is one minute.
        "no_traffic_interval": interval,
        "no_traffic_healthy_interval": interval,
        "unhealthy_interval": interval,
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
        "reuse_connection": True,
        "http_health_check": {"path": cluster.health_path, "host": "matinee"},
    }


def _build_outlier_detection(cluster: Cluster) -> dict[str, Any]:
    return {
        "consecutive_5xx": cluster.eject_after * 4,
        "consecutive_gateway_failure": cluster.eject_after,
        "enforcing_consecutive_gateway_failure": 100,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": cluster.eject_after,
        "interval": "1s",
        "base_ejection_time": to_duration(cluster.eject_ms),
        "max_ejection_percent": 50,
        "successful_active_health_check_uneject_host": True,
    }


def _build_tls(cluster: Cluster) -> dict[str, Any]:
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                # Envoy cannot verify a chain whose authority has name constraints for addresses.
                "validation_context": {"verify_certificate_hash": _hash_certificates(cluster.pinned)},
            },
        },
    }


def _hash_certificates(pem: str) -> list[str]:
    """Return the SHA-256 of every certificate in a PEM text."""
    end = "-----END CERTIFICATE-----"
    parts = [part + end for part in pem.split(end) if "-----BEGIN CERTIFICATE-----" in part]
    return [sha256_hex(PEM_cert_to_DER_cert(part.strip())) for part in parts]
