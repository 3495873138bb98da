"""The admin port: health, and figures in Prometheus' text form, summed over this edge's workers."""

from __future__ import annotations

from matinee.edge.api import EdgeSettings, NoSuchFile
from matinee.edge.ports import GAUGES, EdgeMetrics, Metric
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection
from matinee.edge.server.requests import Request

_HELP = {
    Metric.REQUESTS: ("requests_total", "Requests answered."),
    Metric.SENT_BYTES: ("sent_bytes_total", "Bytes sent to clients, headers included."),
    Metric.HITS: ("hits_total", "Objects found whole in the cache."),
    Metric.MISSES: ("misses_total", "Objects asked for that were not."),
    Metric.FILLS: ("fills_total", "Requests to the origin."),
    Metric.FILLED_BYTES: ("filled_bytes_total", "Bytes received from the origin."),
    Metric.EVICTIONS: ("evictions_total", "Objects evicted from the cache."),
    Metric.REFUSED: ("links_refused_total", "Requests whose link was not good."),
    Metric.CLIENT_ERRORS: ("client_errors_total", "Answers 4xx."),
    Metric.SERVER_ERRORS: ("server_errors_total", "Answers 5xx."),
    Metric.UPSTREAM_ERRORS: ("upstream_errors_total", "Fills that failed."),
    Metric.ABORTED: ("aborted_total", "Connections that broke off."),
    Metric.CPU_MS: ("cpu_ms_total", "Processor time of the workers, in milliseconds."),
    Metric.CONNECTIONS: ("open_connections", "Connections open now."),
    Metric.DISK_USED_BYTES: ("disk_used_bytes", "Bytes that the cache takes on the disk."),
}


class AdminHandler:
    """Answers on the admin port."""

    def __init__(self, settings: EdgeSettings, metrics: EdgeMetrics) -> None:
        self._settings = settings
        self._metrics = metrics

    async def answer(self, connection: Connection, request: Request) -> bool:
        """Answer one request; tells whether the connection may go on."""
        await connection.send(self._page(request))
        return request.keep_alive

    def _page(self, request: Request) -> bytes:
        if request.refusal is not None:
            return responses.problem(request, request.refusal)
        path = request.target.partition("?")[0]
        if path == "/metrics":
            return responses.text(request, self._render_metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/healthz":
            return responses.text(request, b"ok\n", "text/plain; charset=utf-8")
        return responses.problem(request, NoSuchFile())

    def _render_metrics(self) -> bytes:
        totals = self._metrics.totals()
        label = f'{{edge="{self._settings.edge_id}"}}'
        lines = [f"matinee_edge_workers{label} {self._metrics.workers()}"]
        lines += [f"matinee_edge_disk_limit_bytes{label} {self._settings.cache_limit_bytes}"]
        for count, (name, text) in _HELP.items():
            kind = "gauge" if count in GAUGES else "counter"
            lines += [f"# HELP matinee_edge_{name} {text}", f"# TYPE matinee_edge_{name} {kind}"]
            lines += [f"matinee_edge_{name}{label} {totals[count]}"]
        return ("\n".join(lines) + "\n").encode()
