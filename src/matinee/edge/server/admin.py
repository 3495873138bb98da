"""The admin port: health, and figures in Prometheus' text form, summed over this edge's workers."""

from __future__ import annotations

from matinee.edge.api import EdgeSettings, NoSuchFile
from matinee.edge.ports import LEVELS, Board, Count
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection
from matinee.edge.server.requests import Request

_HELP = {
    Count.REQUESTS: ("requests_total", "Requests answered."),
    Count.SENT_BYTES: ("sent_bytes_total", "Bytes sent to clients, headers included."),
    Count.HITS: ("hits_total", "Objects found whole in the cache."),
    Count.MISSES: ("misses_total", "Objects asked for that were not."),
    Count.FILLS: ("fills_total", "Requests to the origin."),
    Count.FILLED_BYTES: ("filled_bytes_total", "Bytes received from the origin."),
    Count.EVICTIONS: ("evictions_total", "Objects evicted from the cache."),
    Count.REFUSED: ("links_refused_total", "Requests whose link was not good."),
    Count.CLIENT_ERRORS: ("client_errors_total", "Answers 4xx."),
    Count.SERVER_ERRORS: ("server_errors_total", "Answers 5xx."),
    Count.UPSTREAM_ERRORS: ("upstream_errors_total", "Fills that failed."),
    Count.ABORTED: ("aborted_total", "Connections that broke off."),
    Count.CPU_MS: ("cpu_ms_total", "Processor time of the workers, in milliseconds."),
    Count.CONNECTIONS: ("open_connections", "Connections open now."),
    Count.DISK_USED_BYTES: ("disk_used_bytes", "Bytes that the cache takes on the disk."),
}


class Admin:
    """Answers on the admin port."""

    def __init__(self, settings: EdgeSettings, board: Board) -> None:
        self._settings = settings
        self._board = board

    async def answer(self, connection: Connection, request: Request) -> bool:
        """Answer one request; tells whether the connection may go on."""
        await connection.send(self._page(request))
        return request.keep_alive

    def _page(self, request: Request) -> bytes:
        if request.refusal is not None:
            return responses.problem(request, request.refusal)
        path = request.target.partition("?")[0]
        if path == "/metrics":
            return responses.text(request, self._metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/healthz":
            return responses.text(request, b"ok\n", "text/plain; charset=utf-8")
        return responses.problem(request, NoSuchFile())

    def _metrics(self) -> bytes:
        totals = self._board.totals()
        label = f'{{edge="{self._settings.edge_id}"}}'
        lines = [f"matinee_edge_workers{label} {self._board.workers()}"]
        lines += [f"matinee_edge_disk_limit_bytes{label} {self._settings.cache_limit_bytes}"]
        for count, (name, text) in _HELP.items():
            kind = "gauge" if count in LEVELS else "counter"
            lines += [f"# HELP matinee_edge_{name} {text}", f"# TYPE matinee_edge_{name} {kind}"]
            lines += [f"matinee_edge_{name}{label} {totals[count]}"]
        return ("\n".join(lines) + "\n").encode()
