"""The admin port: health, and metrics in Prometheus text format, summed over the workers of this edge."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from matinee.edge.api import EdgeSettings, NoSuchFile
from matinee.edge.ports import GAUGES, EdgeMetrics, Metric
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection
from matinee.edge.server.requests import Request
from matinee.mesh.jobs import JobSupervisor

_HELP = {
    Metric.REQUESTS: ("requests_total", "Requests answered."),
    Metric.SENT_BYTES: ("sent_bytes_total", "Bytes sent to clients, including headers."),
    Metric.HITS: ("hits_total", "Requests for objects complete in the cache."),
    Metric.MISSES: ("misses_total", "Requests for objects not complete in the cache."),
    Metric.FILLS: ("fills_total", "Requests to the origin."),
    Metric.FILLED_BYTES: ("filled_bytes_total", "Bytes received from the origin."),
    Metric.EVICTIONS: ("evictions_total", "Objects evicted from the cache."),
    Metric.REFUSED: ("links_refused_total", "Requests with an invalid link."),
    Metric.CLIENT_ERRORS: ("client_errors_total", "Responses with status 4xx."),
    Metric.SERVER_ERRORS: ("server_errors_total", "Responses with status 5xx."),
    Metric.UPSTREAM_ERRORS: ("upstream_errors_total", "Fills that failed."),
    Metric.ABORTED: ("aborted_total", "Connections that broke."),
    Metric.CPU_MS: ("cpu_ms_total", "CPU time of the workers, in milliseconds."),
    Metric.JOB_FAILURES: ("job_failures_total", "Failures of background jobs, each followed by a restart."),
    Metric.CONNECTIONS: ("open_connections", "Open connections."),
    Metric.DISK_USED_BYTES: ("disk_used_bytes", "Bytes used by the cache on disk."),
}


class AdminHandler:
    """Handles requests on the admin port."""

    def __init__(self, settings: EdgeSettings, metrics: EdgeMetrics, jobs: JobSupervisor) -> None:
        self._settings = settings
        self._metrics = metrics
        self._jobs = jobs

    async def handle(self, connection: Connection, request: Request) -> bool:
        """Answer a request; return whether the connection may stay open."""
        await connection.send(self._respond(request))
        return request.keep_alive

    def _respond(self, request: Request) -> bytes:
        if request.refusal is not None:
            return responses.problem(request, request.refusal)
        path = request.target.partition("?")[0]
        if path == "/metrics":
            return responses.text(request, self._render_metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/healthz":
            return responses.text(request, b"ok\n", "text/plain; charset=utf-8")
        if path == "/readyz":
            return self._respond_readiness(request)
        return responses.problem(request, NoSuchFile())

    def _respond_readiness(self, request: Request) -> bytes:
        failing = self._jobs.failing
        body = msgspec.json.encode({"state": "failing" if failing else "ready", "jobs": failing})
        status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
        return responses.text(request, body, "application/json", status)

    def _render_metrics(self) -> bytes:
        totals = self._metrics.totals()
        label = f'{{edge="{self._settings.edge_id}"}}'
        lines = [f"matinee_edge_workers{label} {self._metrics.count_workers()}"]
        lines += [f"matinee_edge_disk_limit_bytes{label} {self._settings.cache_limit_bytes}"]
        for metric, (name, text) in _HELP.items():
            kind = "gauge" if metric in GAUGES else "counter"
            lines += [f"# HELP matinee_edge_{name} {text}", f"# TYPE matinee_edge_{name} {kind}"]
            lines += [f"matinee_edge_{name}{label} {totals[metric]}"]
        return ("\n".join(lines) + "\n").encode()
