"""The public interface of steering."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

# The name of the secret by which playback signs links and edges verify them.
EDGE_LINK_KEY: Final = "edge-links.key"


class Health(StrEnum):
    """The health of an edge."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DRAINING = "draining"
    UNAVAILABLE = "unavailable"

    @classmethod
    def _missing_(cls, value: object) -> Health | None:
        return cls.UNAVAILABLE if value == "gone" else None  # its earlier name, which an older process sends


class EdgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """An edge's heartbeat. `load` is from 0 (idle) to 1 (full); counters start with the edge.

    Clients use `base_url`, other processes `address`; an earlier version sends none, then `base_url` is both.
    """

    edge_id: EdgeId
    name: str
    base_url: str
    address: str = ""
    region: str = "local"
    load: float = 0.0
    open_connections: int = 0
    sent_bytes: int = 0
    hits: int = 0
    misses: int = 0
    upstream_errors: int = 0
    disk_used_bytes: int = 0
    disk_limit_bytes: int = 0
    healthy: bool = True


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge with its last report and its health."""

    report: EdgeReport
    health: Health
    last_seen_at: datetime


class RankedEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge ranked for a client; a lower score is better."""

    edge_id: EdgeId
    base_url: str
    score: float


class EdgeNotFound(Problem, status=404):
    """There is no edge with this id."""

    edge_id: EdgeId


class NoEdge(Problem, status=503):
    """No edge is available."""

    retry_after_ms: int


class Steering(Protocol):
    """The fleet of edges, and their ranking for a client."""

    @idempotent
    async def heartbeat(self, *, report: EdgeReport) -> Health:
        """Register an edge or store its new report; return its health. Idempotent."""

    @idempotent
    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        """Return edges for a client, best first, by reachability, health and load; avoided ones last. Raises NoEdge."""

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        """Record the outcome of a player's request to an edge, from which reachability is computed."""

    @idempotent
    async def list_edges(self) -> list[Edge]:
        """Return every edge that sent a heartbeat in the last day."""

    @idempotent
    async def drain(self, *, edge_id: EdgeId, draining: bool) -> Edge:
        """Stop or resume giving new sessions to an edge. Idempotent. Raises EdgeNotFound."""
