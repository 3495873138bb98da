"""Follows the model: what has changed is written, in the order in which nothing points at what is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from matinee.drivers import envoy
from matinee.gateway.adapters.envoy import clusters, listeners
from matinee.gateway.model.proxy import ProxyConfig

CONNECTIONS = 10_000


class EnvoyProxy:
    """Fulfils `Proxy` by the files in Envoy's folder; Envoy itself is run by whoever runs processes.

    Several gateways may write the same folder: they say the same, and each file is put in place whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def apply(self, front: ProxyConfig) -> bool:
        return await asyncio.to_thread(self._write, front)

    def _write(self, front: ProxyConfig) -> bool:
        changed = [
            envoy.write_config(self._folder, name, content) for name, content in files(front, self._folder).items()
        ]
        return any(changed)


def files(front: ProxyConfig, folder: Path) -> dict[str, dict[str, Any]]:
    """Every file by its name: endpoints before clusters, routes and secrets before listeners."""
    made: dict[str, dict[str, Any]] = {}
    for cluster in front.clusters:
        made[f"endpoints-{cluster.name}.json"] = _resources(clusters.endpoints(cluster))
    made["clusters.json"] = _resources(*(clusters.cluster(cluster, folder) for cluster in front.clusters))
    for listener in front.listeners:
        made[f"routes-{listener.name}.json"] = _resources(listeners.routes(listener, front))
        if listener.certificate:
            made[f"secret-{listener.certificate.name}.json"] = _resources(listeners.secret(listener.certificate))
    made["listeners.json"] = _resources(*(listeners.listener(listener, front, folder) for listener in front.listeners))
    made[envoy.BOOTSTRAP] = bootstrap(folder)
    return made


def bootstrap(folder: Path) -> dict[str, Any]:
    """What Envoy reads once: who it is, its admin page on loopback, which files to follow."""
    return {
        "node": {"id": "front", "cluster": "matinee"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "cds_config": clusters.followed(folder / "clusters.json"),
            "lds_config": clusters.followed(folder / "listeners.json"),
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{clusters.TYPE}envoy.extensions.resource_monitors.downstream_connections"
                        ".v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": CONNECTIONS,
                    },
                }
            ]
        },
    }


def _resources(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resources": list(resources)}
