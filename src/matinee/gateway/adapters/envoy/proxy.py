"""Writes changed configuration files, in an order in which no file refers to a missing one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from matinee.drivers import envoy
from matinee.gateway.adapters.envoy.clusters import TYPE, file_source, render_cluster, render_endpoints
from matinee.gateway.adapters.envoy.listeners import render_listener, render_secret
from matinee.gateway.adapters.envoy.routes import render_routes
from matinee.gateway.model.proxy import ProxyConfig

_MAX_CONNECTIONS = 10_000
_WATCHDOG = {"miss_timeout": "5s", "megamiss_timeout": "10s"}


class EnvoyProxy:
    """Fulfils `Proxy` with the files in Envoy's folder; the supervisor runs Envoy itself.

    Several gateways may write the same folder: they write the same content, and each file is replaced atomically.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def apply(self, config: ProxyConfig) -> bool:
        return await asyncio.to_thread(self._write, config)

    def _write(self, config: ProxyConfig) -> bool:
        files = render_files(config, self._folder)
        changed = [envoy.write_config(self._folder, name, content) for name, content in files.items()]
        return any(changed)


def render_files(config: ProxyConfig, folder: Path) -> dict[str, dict[str, Any]]:
    """Render every file by its name: endpoints before clusters, routes and secrets before listeners."""
    files: dict[str, dict[str, Any]] = {}
    for cluster in config.clusters:
        files[f"endpoints-{cluster.name}.json"] = _build_resources(render_endpoints(cluster))
    files["clusters.json"] = _build_resources(*(render_cluster(cluster, folder) for cluster in config.clusters))
    for listener in config.listeners:
        files[f"routes-{listener.name}.json"] = _build_resources(render_routes(listener, config))
        if listener.certificate:
            files[f"secret-{listener.certificate.name}.json"] = _build_resources(render_secret(listener.certificate))
    files["listeners.json"] = _build_resources(
        *(render_listener(listener, config, folder) for listener in config.listeners)
    )
    files[envoy.BOOTSTRAP] = _build_bootstrap(folder)
    return files


def _build_bootstrap(folder: Path) -> dict[str, Any]:
    """Render what Envoy reads once at its start. Its admin interface shows secrets: only its owner may connect."""
    admin = {"path": str(envoy.choose_admin_socket(folder)), "mode": 0o600}
    return {
        "node": {"id": "front", "cluster": "matinee"},
        "admin": {"address": {"pipe": admin}},
        "dynamic_resources": {
            "cds_config": file_source(folder / "clusters.json"),
            "lds_config": file_source(folder / "listeners.json"),
        },
        # By default the watchdogs wake every thread ten times a second.
        "watchdogs": {"main_thread_watchdog": _WATCHDOG, "worker_watchdog": _WATCHDOG},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}envoy.extensions.resource_monitors.downstream_connections"
                        ".v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _MAX_CONNECTIONS,
                    },
                }
            ]
        },
    }


def _build_resources(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resources": list(resources)}
